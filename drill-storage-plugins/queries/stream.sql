-- The game stream by the names of its columns: shots and clock rows, without the terminator (-1) and broken lines.
-- Of the \r\n at the end of a line Drill takes only the \n, so the last column may still have the \r.
SELECT
  CAST(columns[0] AS BIGINT) AS event_id,
  columns[1] AS clock,
  CAST(columns[2] AS INT) AS team_id,
  columns[3] AS jersey_number,
  CAST(SUBSTR(columns[4], 1, 1) AS INT) AS goal
FROM minio.root.`gamestream.txt`
WHERE REGEXP_MATCHES(columns[0], '^[0-9]+$')
  AND REGEXP_MATCHES(columns[2], '^[0-9]+$')
  AND REGEXP_MATCHES(columns[4], '^[01]\r?$')
ORDER BY event_id;
