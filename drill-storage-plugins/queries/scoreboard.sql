-- The games of a game day, one row a game. The condition on the documents is explained in score.sql.
SELECT g.`_id` AS game, g.`day` AS game_day, g.home.name AS home, g.home.score AS home_score,
  g.away.score AS away_score, g.away.name AS away, g.`timestamp` AS clock, g.`final` AS is_final
FROM mongo.sidearm.games g
WHERE g.`_id` >= 0 AND g.fingerprint IS NOT NULL
ORDER BY game_day, game;
