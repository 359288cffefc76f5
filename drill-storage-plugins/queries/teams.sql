-- The two teams and their players, as they were before the game.
SELECT t.id AS team_id, t.name AS team, t.conference, t.wins, t.losses,
  p.id AS player_id, p.number AS jersey_number, p.name AS player, p.shots, p.goals
FROM mssql.dbo.teams t
JOIN mssql.dbo.players p ON p.teamid = t.id
ORDER BY team_id, player_id;
