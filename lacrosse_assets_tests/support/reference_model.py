"""The reference model: docs/contract.md, sections 1 to 4 and 10, in plain Python, with loops in the place of joins.

The property tests compare the product with this model. It is useful only if it shares no code with the product, so it
imports nothing of `lacrosse_assets`. Where the contract leaves room, it is interpreted as follows:

- blanks are the ASCII space and tab;
- an integer is an optional sign and ASCII digits, and an id has to fit into 64 bits;
- a clock is one or two digits, a colon and two digits less than 60, with at most three decimals after a point; what is
  shown has two digits for the minutes, so that more than 99:59 is no clock;
- a line's content has the normalized clock: two clocks that are normalized to the same text are the same;
- what is invisible at the ends of a jersey does not count, unless there is nothing else; in the tables there is then no
  jersey, and a name loses the spaces at its end;
- a terminator is a well-formed row like any other;
- a jersey that two players of one team wear counts for the team and for no player;
- of several games of one stream on one day, the one with the highest id is played.
"""

import unicodedata
from calendar import monthrange
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

Row = dict[str, Any]
Fields = tuple[int, str, int, str, int]
DIGITS = frozenset("0123456789")
INVISIBLE = {"Zs", "Zl", "Zp", "Cc", "Cf"}


class Game(NamedTuple):
    """All results for a stream and two reference tables."""

    lines: list[tuple[int, str]]  # line number and verdict
    document: Row | None
    unrostered: dict[tuple[int, str], tuple[int, int]]  # team and jersey that no one player wears: shots, goals
    teams2: list[Row]
    players2: list[Row]


class FinalTables(NamedTuple):
    """The rows of the final tables of a game day by id; those of `games2` without `fingerprint`."""

    teams2: list[Row]
    players2: list[Row]
    games2: list[Row]


def game(body: bytes, home: int, away: int, teams: list[Row], players: list[Row]) -> Game:
    lines, events, terminator = read_stream(body, home, away)

    shots: dict[tuple[int, str], list[int]] = {}
    for _, _, team, jersey, goal in events.values():
        if team != 0:
            shots.setdefault((team, jersey), []).append(goal)

    scores = {team: sum(sum(goals) for (of, _), goals in shots.items() if of == team) for team in (home, away)}
    counted: dict[int, list[int]] = {row["id"]: [] for row in players}
    unrostered = {}
    for (team, jersey), goals in shots.items():
        wearers = [row["id"] for row in players if (row["teamid"], visible(row["number"])) == (team, jersey)]
        if len(wearers) == 1:
            counted[wearers[0]] = goals
        else:
            unrostered[team, jersey] = (len(goals), sum(goals))

    def side(team_id: int, other_id: int) -> Row:
        (team,) = (row for row in teams if row["id"] == team_id)
        own, other = scores[team_id], scores[other_id]
        members = sorted((row for row in players if row["teamid"] == team_id), key=lambda row: row["id"])
        return {
            "teamid": team_id,
            "name": team["name"].rstrip(" "),
            "conference": team["conference"].rstrip(" "),
            "wins": team["wins"],
            "losses": team["losses"],
            "score": own,
            "status": "tied" if own == other else "winning" if own > other else "losing",
            "players": [
                {
                    "id": row["id"],
                    "name": row["name"].rstrip(" "),
                    "number": visible(row["number"]),
                    "shots": len(counted[row["id"]]),
                    "goals": sum(counted[row["id"]]),
                    "pct": percentage(sum(counted[row["id"]]), len(counted[row["id"]])),
                }
                for row in members
            ],
        }

    document = None
    if events:
        latest = max(events)
        clock = (terminator or events[latest])[1]
        has_been_under_way = any(events[earlier][1] > "00:00" for earlier in events if earlier < latest)
        document = {
            "_id": latest,
            "timestamp": clock,
            "home": side(home, away),
            "away": side(away, home),
            "final": terminator is not None or (clock == "00:00" and has_been_under_way),
        }

    won = {home: scores[home] > scores[away], away: scores[away] > scores[home]}
    lost = {home: won[away], away: won[home]}
    teams2 = [
        {**row, "wins": row["wins"] + won.get(row["id"], 0), "losses": row["losses"] + lost.get(row["id"], 0)}
        for row in teams
    ]
    players2 = [
        {**row, "shots": row["shots"] + len(counted[row["id"]]), "goals": row["goals"] + sum(counted[row["id"]])}
        for row in players
    ]
    return Game(lines, document, unrostered, by_id(teams2), by_id(players2))


def schedule(rows: list[Row], prefix: str) -> tuple[dict[int, Row], int]:
    """The games that are played, by id, each with the `key` of its stream; and how many problems the rows have."""
    by_key: dict[str, list[Row]] = {}
    problems = 0
    for row in rows:
        game_id, home, away = (whole(row[name]) for name in ("id", "home", "away"))
        if game_id is None or home is None or away is None or home == away or min(game_id, home - 1, away - 1) < 0:
            problems += 1
            continue
        day = str(row["day"] or "")[:10]
        if day and not is_date(day):
            day, problems = "", problems + 1
        key = prefix + ((row["stream"] or "").strip() or f"{game_id}.txt")
        played = {"id": game_id, "day": day, "home": home, "away": away, "key": key}
        by_key.setdefault(key, []).append(played)
    latest = [max(games, key=lambda game: (game["day"], game["id"])) for games in by_key.values()]
    return {game["id"]: game for game in latest}, problems


def document_of_a_day(scheduled: Row, body: bytes, teams: list[Row], players: list[Row]) -> Row | None:
    """The document of a game of a game day, from its row of `games`, without the fields that identify its version."""
    home, away = scheduled["home"], scheduled["away"]
    if not {home, away} <= {team["id"] for team in teams}:
        return None
    document = game(body, home, away, teams, players).document
    if document is None:
        return None
    scores, plays = {home: 0, away: 0}, []
    _, events, _ = read_stream(body, home, away)
    for event_id, (_, clock, team, jersey, goal) in sorted(events.items()):
        if team:
            scores[team] += goal
        play = {"event": event_id, "clock": clock, "team": team, "jersey": jersey, "goal": goal}
        plays.append({**play, "home": scores[home], "away": scores[away]})
    return {**document, "_id": scheduled["id"], "event": document["_id"], "day": scheduled["day"], "plays": plays}


def final_tables(teams: list[Row], players: list[Row], documents: list[Row]) -> FinalTables:
    """The final tables of a game day with these documents: each game that is over is added exactly once.

    A team or a player that is in the reference tables no more is added nowhere.
    """
    teams2, players2 = ({row["id"]: dict(row) for row in rows} for rows in (teams, players))
    games2 = []
    for document in documents:
        if not document["final"]:
            continue
        home, away = document["home"], document["away"]
        for side, other in ((home, away), (away, home)):
            if side["score"] != other["score"] and side["teamid"] in teams2:
                teams2[side["teamid"]]["wins" if side["score"] > other["score"] else "losses"] += 1
            for player in side["players"]:
                for column in ("shots", "goals") if player["id"] in players2 else ():
                    players2[player["id"]][column] += player[column]
        games2.append(
            {
                **{"id": document["_id"], "day": document["day"], "home": home["teamid"], "away": away["teamid"]},
                **{"home_score": home["score"], "away_score": away["score"]},
            }
        )
    return FinalTables(by_id(list(teams2.values())), by_id(list(players2.values())), by_id(games2))


def timeline(body: bytes, home: int, away: int, teams: list[Row], players: list[Row]) -> list[Row]:
    """The document of each event, by id: what `game` reads in a stream that has no event after it, and no terminator if
    the stream went on."""
    _, events, terminator = read_stream(body, home, away)
    documents = []
    for latest in sorted(events):
        played = [fields for event_id, fields in events.items() if event_id <= latest]
        if terminator and latest == max(events):
            played.append(terminator)
        prefix = "".join(" ".join(map(str, fields)) + "\n" for fields in played)
        document = game(prefix.encode(), home, away, teams, players).document
        assert document
        documents.append(document)
    return documents


def read_stream(body: bytes, home: int, away: int) -> tuple[list[tuple[int, str]], dict[int, Fields], Fields | None]:
    """The verdict of each line that is not blank, the events by id, and the terminator."""
    lines: list[tuple[int, str]] = []
    first: dict[int, Fields] = {}
    if body[:3] == "\ufeff".encode():
        body = body[3:]
    pieces = body.split(b"\n")
    for i in range(len(pieces)):
        text = pieces[i][:-1] if pieces[i].endswith(b"\r") else pieces[i]
        if not text.replace(b" ", b"").replace(b"\t", b""):
            continue
        fields = read_fields(text, {home, away, 0})
        if fields is None:
            # What follows the last line end is still being written.
            verdict = "unfinished" if i == len(pieces) - 1 else "invalid"
        elif fields[0] in first:
            verdict = "repeated" if first[fields[0]] == fields else "invalid"
        else:
            first[fields[0]] = fields
            verdict = "terminator" if fields[0] == -1 else "clock" if fields[2] == 0 else "shot"
        lines.append((i + 1, verdict))
    terminator = first.pop(-1, None)
    return lines, first, terminator


def read_fields(line: bytes, teams: set[int]) -> Fields | None:
    try:
        fields = [field for field in line.decode("utf-8").replace("\t", " ").split(" ") if field]
    except UnicodeDecodeError:
        return None
    if len(fields) != 5:
        return None
    event_id, clock, team, jersey, goal = integer(fields[0]), read_clock(fields[1]), integer(fields[2]), *fields[3:]
    if event_id is None or event_id < -1 or clock is None or team not in teams or goal not in {"0", "1"}:
        return None
    return event_id, clock, team, visible(jersey) or jersey, int(goal)


def read_clock(text: str) -> str | None:
    minutes, colon, rest = text.partition(":")
    seconds, point, decimals = rest.partition(".")
    if not colon or len(minutes) not in (1, 2) or len(seconds) != 2 or not DIGITS.issuperset(minutes + seconds):
        return None
    if point and (len(decimals) not in (1, 2, 3) or not DIGITS.issuperset(decimals)):
        return None
    if int(seconds) >= 60:
        return None
    whole = Decimal(f"{seconds}.{decimals or 0}").to_integral_value(ROUND_CEILING)
    shown = divmod(int(minutes) * 60 + int(whole), 60)
    return f"{shown[0]:02}:{shown[1]:02}" if shown < (100, 0) else None


def visible(text: str) -> str:
    """What is left of a text between its first and its last visible character."""
    places = [i for i, character in enumerate(text) if unicodedata.category(character) not in INVISIBLE]
    return text[places[0] : places[-1] + 1] if places else ""


def integer(text: str) -> int | None:
    digits = text[1:] if text[0] in "+-" else text
    if not digits or not DIGITS.issuperset(digits):
        return None
    # A Decimal takes any number of digits and loses none; an int refuses thousands.
    value = Decimal(text)
    return int(value) if -(2**63) < value < 2**63 else None


def whole(value: Any) -> int | None:
    """The integer that a value of a table is, as a number or as text."""
    if isinstance(value, str):
        return integer(visible(value)) if visible(value) else None
    return int(value) if isinstance(value, int | float) and value == value // 1 else None


def is_date(text: str) -> bool:
    year, month, day = text[:4], text[5:7], text[8:]
    if text[4:5] + text[7:8] != "--" or len(day) != 2 or not DIGITS.issuperset(year + month + day):
        return False
    return int(year) > 0 and 1 <= int(month) <= 12 and 1 <= int(day) <= monthrange(int(year), int(month))[1]


def percentage(goals: int, shots: int) -> float:
    if not shots:
        return 0.0
    return float((Decimal(goals) / Decimal(shots)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def by_id(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["id"])
