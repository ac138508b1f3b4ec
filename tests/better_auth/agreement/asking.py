"""Asks both about everything that is tried, and keeps the ledger."""

import random
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.types.json import Jsonb

from auth_middleware import Auth
from tests.better_auth.agreement import mutations
from tests.better_auth.agreement.comparing import Answer, Case, Member, MemberSession, differing, ours, theirs
from tests.better_auth.agreement.mutations import Mutation
from tests.better_auth.agreement.neighbours import until_the_cache_answers
from tests.better_auth.agreement.people import UPDATE_AGE, Person, Town
from tests.better_auth.agreement.rules import RULES, Disagreement, rule_for
from tests.better_auth.agreement.servers import ASK_STORE, DATA, ONLY_READ, Strategy, cookie_header, cookies_of

RESTORE = """INSERT INTO session SELECT * FROM jsonb_populate_record(NULL::session, %s) ON CONFLICT (id)
DO UPDATE SET "expiresAt" = EXCLUDED."expiresAt", "updatedAt" = EXCLUDED."updatedAt\""""
SHOWN = 20
THOROUGHLY = {"plain": mutations.of, "revoked": mutations.of, "large": mutations.some_of}


class Ledger:
    """Agreements, disagreements by rule, and those that no rule explains."""

    def __init__(self, version: tuple[int, ...]) -> None:
        self.version = version
        self.agreements: Counter[tuple[Strategy, str]] = Counter()
        self.named: Counter[tuple[Strategy, str]] = Counter()
        self.by_rule: Counter[str] = Counter()
        self.unexplained: list[Disagreement] = []

    def agree(self, case: Case, answer: Answer) -> None:
        way = "store" if case.asks_store else "cache"
        self.agreements[case.strategy, way] += 1
        self.named[case.strategy, way] += answer is not None

    def disagree(self, found: Disagreement) -> None:
        if rule := rule_for(found):
            self.by_rule[rule.name] += 1
        else:
            self.unexplained.append(found)

    def __str__(self) -> str:
        lines = [
            f"  {strategy:8} asked by {way}: {count} agree, {self.named[strategy, way]} of them on somebody"
            for (strategy, way), count in self.agreements.items()
        ]
        lines += [f"  {self.by_rule[rule.name]:5} × {rule.name}: {rule.why}" for rule in RULES]
        lines.append(f"  {len(self.unexplained)} disagreements that no rule explains")
        for found in self.unexplained[:SHOWN]:
            fields = sorted(differing(found.ours, found.theirs))
            lines += [f"    {found.case}", f"      {fields}", f"      we: {found.ours}", f"      they: {found.theirs}"]
            lines += [f"      headers: {found.case.headers}"]
        return "\n".join(lines)


class Both:
    """Better Auth and ourselves, with one database and one form of the cookie cache."""

    def __init__(
        self,
        town: Town,
        rows: psycopg.Connection,
        always: Auth[MemberSession, Member],
        cached: Auth[MemberSession, Member],
        ledger: Ledger,
    ) -> None:
        self._town = town
        self._always = always
        self._cached = cached
        self._ledger = ledger
        self._rows = rows

    async def compare(self, chance: random.Random) -> None:
        """Everybody, in every state, with everything that can happen to a cookie."""
        stranger = self._town.newcomer("stranger")
        await until_the_cache_answers(self._cached, stranger.jar)
        for who in self._town.of_all_ages():
            for mutation in mutations.at_any_age(who):
                await self._ask(who, mutation)
                await self._ask(who, mutation, asks_store=True)
        for who, earlier in self._town.in_all_states():
            tried = THOROUGHLY.get(who.label, mutations.few_of)
            for mutation in tried(who, stranger, earlier, chance):
                await self._ask(who, mutation)
                if who.label == "plain":
                    await self._ask(who, mutation, asks_store=True)

    async def _ask(self, who: Person, mutation: Mutation, *, asks_store: bool = False) -> None:
        case = Case(self._ledger.version, self._town.strategy, asks_store, who, *mutation)
        # A reader first: Better Auth also writes.
        mine = await ours(self._always if asks_store else self._cached, case.headers)
        their = self._theirs(case.headers, who, ASK_STORE if asks_store else "")
        if differing(mine, their):
            pairs = [(name, value) for name, value in cookies_of(case.headers) if not name.startswith(DATA)]
            stored = self._theirs([cookie_header(*pairs)], who, ONLY_READ)
            self._ledger.disagree(Disagreement(case, mine, their, stored))
        else:
            self._ledger.agree(case, their)

    def _theirs(self, headers: Sequence[bytes], who: Person, query: str) -> Answer:
        with self._row_kept(who):
            return theirs(self._town.servers, self._town.strategy, headers, query)

    @contextmanager
    def _row_kept(self, who: Person) -> Generator[None]:
        if who.age < UPDATE_AGE:
            yield
            return
        # Better Auth moves the times of a row that is due, and deletes one that is over.
        kept = self._rows.execute("SELECT to_jsonb(session) FROM session WHERE token = %s", [who.token]).fetchone()
        yield
        if kept:
            self._rows.execute(RESTORE, [Jsonb(kept[0])])
