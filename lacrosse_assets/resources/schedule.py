"""Which games are played: one that the settings name, or those of the table `games` (docs/contract.md, section 10)."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from dagster import ConfigurableResource
from pydantic import Field

from lacrosse_assets.game.schedule import SINGLE_GAME_ID, Game, Schedule, schedule_of
from lacrosse_assets.resources.reference_db import ReferenceDatabase


class GameSchedule(ConfigurableResource[Any], ABC):
    """The games, and what a problem with one of them means."""

    # Whether a problem of one game is reported and leaves the others alone. Otherwise it fails the run.
    isolates_games: ClassVar[bool]

    @abstractmethod
    def read(self, reference_db: ReferenceDatabase) -> Schedule:
        """The games as they are scheduled now.

        Raises:
            StoreError: the reference database is needed for it, and is unreachable or refuses the query.
        """


class SingleGame(GameSchedule):
    """The one game, of two teams that the settings name."""

    key: str = Field(description="Name of the game stream's object.")
    home_team_id: int = Field(description="Id of the home team.")
    away_team_id: int = Field(description="Id of the away team.")

    isolates_games: ClassVar[bool] = False

    def read(self, reference_db: ReferenceDatabase) -> Schedule:
        game = Game(SINGLE_GAME_ID, self.home_team_id, self.away_team_id, day=None, stream=self.key)
        return Schedule({game.game_id: game})


class GameDay(GameSchedule):
    """The games of the table `games`."""

    prefix: str = Field(description="Prefix of the game streams' objects.")

    isolates_games: ClassVar[bool] = True

    def read(self, reference_db: ReferenceDatabase) -> Schedule:
        return schedule_of(reference_db.games(), self.prefix)
