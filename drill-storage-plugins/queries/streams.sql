-- The streams of a game day: the latest event, shots and goals of each. How a line is read is explained in stream.sql.
SELECT e.stream_file, MAX(e.event_id) AS event, COUNT(NULLIF(e.team_id, 0)) AS shots, SUM(e.goal) AS goals
FROM (
  SELECT DISTINCT stream_file, CAST(f[0] AS BIGINT) AS event_id, f[1] AS clock, CAST(f[2] AS INT) AS team_id,
    f[3] AS jersey_number, CAST(f[4] AS INT) AS goal
  FROM (
    SELECT s.stream_file, SPLIT(s.line, ' ') AS f
    FROM (
      SELECT filename AS stream_file,
        TRIM(REGEXP_REPLACE(STRING_BINARY(columns[0]), '( |\\x(09|0D|EF|BB|BF))+', ' ')) AS line
      FROM minio.root.`games/*.txt`
    ) s
    WHERE REGEXP_MATCHES(s.line, '^[0-9]{1,18} [0-9]?[0-9]:[0-5][0-9]([.][0-9]{1,3})? [0-9]{1,9} [^ ]+ [01]$')
  )
) e
GROUP BY e.stream_file
ORDER BY e.stream_file;
