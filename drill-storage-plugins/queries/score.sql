-- The score over time, from the box scores of this game so far.
-- The condition leaves out documents of others. Drill hands it over to MongoDB, where a number is compared with numbers
-- only. Ids of two types in one column would fail the query.
SELECT b.`_id` AS event, b.`timestamp` AS clock, b.home.name AS home, b.home.score AS home_score,
  b.away.score AS away_score, b.away.name AS away, b.home.status AS home_is, b.`final` AS is_final
FROM mongo.sidearm.boxscores b
WHERE b.`_id` >= 0 AND b.fingerprint IS NOT NULL
ORDER BY b.`_id`;
