-- The totals of the players before and after the game. There is a players2 once a game is over.
SELECT p.id AS player_id, p.teamid AS team_id, p.number AS jersey_number, p.name AS player,
  p.shots, p2.shots AS shots_after, p.goals, p2.goals AS goals_after
FROM mssql.dbo.players p
JOIN mssql.dbo.players2 p2 ON p2.id = p.id
ORDER BY player_id;
