-- Each goal and who scored it: the stream in MinIO joined with the players in SQL Server. How a line of the stream is read
-- is explained in stream.sql. A jersey in a CHAR column has blanks at its end, which Drill compares and BTRIM removes.
SELECT g.clock, t.name AS team, g.jersey_number, p.name AS player
FROM (
  SELECT DISTINCT CAST(f[0] AS BIGINT) AS event_id, f[1] AS clock, CAST(f[2] AS INT) AS team_id, f[3] AS jersey_number
  FROM (
    SELECT SPLIT(s.line, ' ') AS f
    FROM (
      SELECT TRIM(REGEXP_REPLACE(STRING_BINARY(columns[0]), '( |\\x(09|0D|EF|BB|BF))+', ' ')) AS line
      FROM minio.root.`gamestream.txt`
    ) s
    WHERE REGEXP_MATCHES(s.line, '^[0-9]{1,18} [0-9]?[0-9]:[0-5][0-9]([.][0-9]{1,3})? [0-9]{1,9} [^ ]+ 1$')
  )
) g
JOIN mssql.dbo.teams t ON t.id = g.team_id
LEFT JOIN mssql.dbo.players p ON p.teamid = g.team_id AND BTRIM(p.number) = g.jersey_number
ORDER BY g.event_id;
