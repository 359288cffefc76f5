-- Each goal and who scored it: the stream in MinIO joined with the players in SQL Server.
SELECT g.clock, t.name AS team, g.jersey_number, p.name AS player
FROM (
  SELECT columns[1] AS clock, CAST(columns[2] AS INT) AS team_id, columns[3] AS jersey_number
  FROM minio.root.`gamestream.txt`
  WHERE REGEXP_MATCHES(columns[0], '^[0-9]+$')
    AND REGEXP_MATCHES(columns[2], '^[0-9]+$')
    AND REGEXP_MATCHES(columns[4], '^1\r?$')
) g
JOIN mssql.dbo.teams t ON t.id = g.team_id
LEFT JOIN mssql.dbo.players p ON p.teamid = g.team_id AND p.number = g.jersey_number
ORDER BY g.clock DESC;
