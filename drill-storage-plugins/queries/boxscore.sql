-- The current box score: the players of both teams, with the shots and goals of this game.
-- Each half reads the collection by itself: where the event differs between them, a newer document came in between.
-- The condition on the documents is explained in score.sql.
SELECT h.event, h.clock, h.team, h.player.number AS jersey_number, h.player.name AS player,
  h.player.shots AS shots, h.player.goals AS goals, h.player.pct AS pct
FROM (
  SELECT b.`_id` AS event, b.`timestamp` AS clock, b.home.name AS team, FLATTEN(b.home.players) AS player
  FROM (
    SELECT d.`_id`, d.`timestamp`, d.home FROM mongo.sidearm.boxscores d
    WHERE d.`_id` >= 0 AND d.fingerprint IS NOT NULL
    ORDER BY d.`_id` DESC LIMIT 1
  ) b
) h
UNION ALL
SELECT a.event, a.clock, a.team, a.player.number, a.player.name, a.player.shots, a.player.goals, a.player.pct
FROM (
  SELECT b.`_id` AS event, b.`timestamp` AS clock, b.away.name AS team, FLATTEN(b.away.players) AS player
  FROM (
    SELECT d.`_id`, d.`timestamp`, d.away FROM mongo.sidearm.boxscores d
    WHERE d.`_id` >= 0 AND d.fingerprint IS NOT NULL
    ORDER BY d.`_id` DESC LIMIT 1
  ) b
) a;
