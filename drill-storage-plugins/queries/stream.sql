-- The game stream by the names of its columns: shots and clock rows, without the terminator (-1) and invalid lines.
-- A line that stands twice is shown once. STRING_BINARY writes bytes other than ASCII as \xC3: in text that is not UTF-8,
-- functions such as REGEXP_MATCHES fail. REGEXP_REPLACE makes one blank of blanks, tabs, the \r at the end of a
-- line and the byte order mark.
SELECT DISTINCT
  CAST(f[0] AS BIGINT) AS event_id,
  f[1] AS clock,
  CAST(f[2] AS INT) AS team_id,
  f[3] AS jersey_number,
  CAST(f[4] AS INT) AS goal
FROM (
  SELECT SPLIT(s.line, ' ') AS f
  FROM (
    SELECT TRIM(REGEXP_REPLACE(STRING_BINARY(columns[0]), '( |\\x(09|0D|EF|BB|BF))+', ' ')) AS line
    FROM minio.root.`gamestream.txt`
  ) s
  WHERE REGEXP_MATCHES(s.line, '^[0-9]{1,18} [0-9]?[0-9]:[0-5][0-9]([.][0-9]{1,3})? [0-9]{1,9} [^ ]+ [01]$')
)
ORDER BY event_id;
