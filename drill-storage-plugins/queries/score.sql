-- The score over time, from the box scores of this game so far.
SELECT b.`_id` AS event, b.`timestamp` AS clock, b.home.name AS home, b.home.score AS home_score,
  b.away.score AS away_score, b.away.name AS away, b.home.status AS home_is, b.`final` AS is_final
FROM mongo.sidearm.boxscores b
ORDER BY b.`_id`;
