-- The records of the teams before and after the game. There is a teams2 once a game is over.
SELECT t.id AS team_id, t.name AS team, t.wins, t2.wins AS wins_after, t.losses, t2.losses AS losses_after
FROM mssql.dbo.teams t
JOIN mssql.dbo.teams2 t2 ON t2.id = t.id
ORDER BY team_id;
