-- The shots of all games of a game day, with the score after each. The condition on the documents is explained in score.sql.
SELECT p.game, p.play.event AS event, p.play.clock AS clock, p.play.team AS team_id, p.play.jersey AS jersey_number,
  p.play.goal AS goal, p.play.home AS home_score, p.play.away AS away_score
FROM (
  SELECT g.`_id` AS game, FLATTEN(g.plays) AS play
  FROM mongo.sidearm.games g
  WHERE g.`_id` >= 0 AND g.fingerprint IS NOT NULL
) p
WHERE p.play.team <> 0
ORDER BY p.game, event;
