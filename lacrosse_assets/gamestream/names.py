"""Names for the teams and players of a game day. The order counts: a change makes other games."""

# Each with its conference; the first team of game 1 is the first of the list.
_TEAMS = """
    Hobart/Atlantic 10, Saint Joseph's/Atlantic 10, Richmond/Atlantic 10, High Point/Atlantic 10, Notre Dame/ACC,
    Duke/ACC, Virginia/ACC, North Carolina/ACC, Maryland/Big Ten, Ohio State/Big Ten, Penn State/Big Ten,
    Rutgers/Big Ten, Cornell/Ivy League, Princeton/Ivy League, Yale/Ivy League, Brown/Ivy League,
    Harvard/Ivy League, Dartmouth/Ivy League, Georgetown/Big East, Denver/Big East, Villanova/Big East,
    Marquette/Big East, Providence/Big East, St. John's/Big East, Army West Point/Patriot League,
    Navy/Patriot League, Lehigh/Patriot League, Loyola Maryland/Patriot League, Boston University/Patriot League,
    Colgate/Patriot League, Bucknell/Patriot League, Lafayette/Patriot League, Towson/CAA, Delaware/CAA, Drexel/CAA,
    Fairfield/CAA, Hofstra/CAA, Stony Brook/CAA, Monmouth/CAA, Albany/America East, Vermont/America East,
    Bryant/America East, Binghamton/America East, UMass Lowell/America East, Siena/MAAC, Marist/MAAC,
    Mount St. Mary's/MAAC, Canisius/MAAC, Jacksonville/ASUN, Air Force/ASUN, Utah/ASUN, Robert Morris/NEC,
    Le Moyne/NEC, Wagner/NEC, Saint Michael's/NE10, Adelphi/NE10, St. Lawrence/Liberty League, Union/Liberty League,
    Tufts/NESCAC, Bowdoin/NESCAC, McGill/CUFLA, Université Laval/CUFLA, Bishop's/CUFLA, Western Ontario/CUFLA
"""
# Further teams are a place in a form: Ashford State, Saint Ashford's College and so on.
_PLACES = """
    Ashford, Birchwood, Calder, Dunmore, Ellsworth, Fairmont, Glenville, Hartwell, Ironwood, Jamestown, Kingsbury,
    Lakewood, Milford, Northfield, Oakdale, Pemberton, Quincy, Ridgefield, Salem, Thornton, Underhill, Vernon,
    Westbrook, Yorktown, Zumbrota, Alcott, Bellevue, Carlisle, Danbury, Easton, Foxcroft, Granville, Hanover,
    Ithaca Falls, Jericho, Kenwood, Lenox, Montréal-Nord, New Haven, Orléans, Pittsford, Queensbury,
    Rochester Hills, Sandwich, Trois-Rivières, Upton, Vallejo, Windsor, Coeur d'Alene, O'Fallon, Prairie du Chien,
    Cañon City, San José, L'Anse, Saint-Jérôme, Wilton, Ardmore, Bexley, Camden, Darien
"""
_FORMS = """
    {} State, {} College, {} Tech, University of {}, North {}, South {}, {} Wesleyan, {} Institute, {} A&M,
    {} Valley, {} Christian, East {}, West {}, {} Poly, Old {}, {} Union, Fort {}, Mount {}, {} Harbor, {} Heights,
    {} Normal, {} Marine, {} Lutheran, {} Central, {} Seminary, {} Military, {} Metropolitan, {} Agricultural,
    {} Free, {} Bay, Lake {}, {} Springs, {} Hall, {} Crossing
"""
_CONFERENCES = """
    Centennial, Coast-to-Coast, Landmark, Old Dominion, Midwest, North Coast, Northwest, Sunshine State,
    Great Northeast
"""
_FIRST_NAMES = """
    Aidan, Andrés, Anna, Beckett, Björn, Brennan, Caitlín, Cole, Connor, D'Andre, Declan, Dylan, Élise, Emmett,
    Finn, Gavin, Grace, Graham, Hannah, Hugo, Ja'Quan, Jack, Jake, José, Kai, Kyle, Liam, Logan, Lucía, Lyle, Mack,
    Maeve, Matthieu, Mikayla, Myles, Nate, Noah, Owen, Pat, Quinn, Renée, Riley, Rob, Ryder, Seán, Siobhán, Tewa,
    Tucker, Tyler, Will, Zach, Zoë
"""
_LAST_NAMES = """
    Anderson, Baptiste, Bernhardt, Boyle, Carroll, Cole, Costabile, D'Angelo, De La Cruz, Dickson, Dobson, Donahue,
    Fields, Fitzpatrick, François, Gagné, Gait, García, Gray, Hill, Jean-Louis, Kavanagh, Kirst, Lyons, MacDonald,
    Madsen, Malone, McConvey, McNamara, Müller, Nanticoke, Ngô, Núñez, O'Brien, O'Keefe, O'Neill, Ortiz, Pannell,
    Peña, Powell, Rambo, Reeves, Sánchez, Schreiber, Shellenberger, Sisselberger, Smith, Sowers, St-Pierre,
    Stanwick, Teat, Thompson, Van Raalte, Walsh, Whipple, Williams, Wright, Zawadzki
"""


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _team_names() -> list[tuple[str, str]]:
    listed = [tuple(team.split("/")) for team in _split(_TEAMS)]
    places, conferences = _split(_PLACES), _split(_CONFERENCES)
    further = [
        (form.format(place), conferences[(number + index) % len(conferences)])
        for index, form in enumerate(_split(_FORMS))
        for number, place in enumerate(places)
    ]
    return [*((name, conference) for name, conference in listed), *further]


FIRST_NAMES, LAST_NAMES = _split(_FIRST_NAMES), _split(_LAST_NAMES)
TEAM_NAMES = _team_names()  # each with its conference
