"""Sends each case to Better Auth and to us, and reports the differences."""

import random
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.types.json import Jsonb

from auth_middleware import Auth
from dev.better_auth.strategies import DATA, SKIP_CACHE, SKIP_CACHE_AND_REFRESH, Strategy, cookie_header, cookies_of
from tests.better_auth.agreement import mutations
from tests.better_auth.agreement.instance import until_the_cache_is_used
from tests.better_auth.agreement.mutations import Mutation
from tests.better_auth.agreement.results import Case, Member, MemberSession, Result, differences, ours, theirs
from tests.better_auth.agreement.rules import RULES, Disagreement, rule_for
from tests.better_auth.agreement.users import UPDATE_AGE, Accounts, UserSession

RESTORE = """INSERT INTO session SELECT * FROM jsonb_populate_record(NULL::session, %s) ON CONFLICT (id)
DO UPDATE SET "expiresAt" = EXCLUDED."expiresAt", "updatedAt" = EXCLUDED."updatedAt\""""
SHOWN = 20
MUTATIONS = {"plain": mutations.all_mutations, "revoked": mutations.all_mutations, "large": mutations.some_mutations}


class Report:
    """Counts agreements, disagreements by rule, and disagreements that no rule explains."""

    def __init__(self, version: tuple[int, ...]) -> None:
        self.version = version
        self.agreements: Counter[tuple[Strategy, str]] = Counter()
        self.signed_in: Counter[tuple[Strategy, str]] = Counter()
        self.by_rule: Counter[str] = Counter()
        self.unexplained: list[Disagreement] = []

    def agree(self, case: Case, result: Result) -> None:
        source = "store" if case.skips_cache else "cache"
        self.agreements[case.strategy, source] += 1
        self.signed_in[case.strategy, source] += result is not None

    def disagree(self, found: Disagreement) -> None:
        if rule := rule_for(found):
            self.by_rule[rule.name] += 1
        else:
            self.unexplained.append(found)

    def __str__(self) -> str:
        lines = [
            f"  {strategy:8} from the {source}: {count} agree, {self.signed_in[strategy, source]} of them signed in"
            for (strategy, source), count in self.agreements.items()
        ]
        lines += [f"  {self.by_rule[rule.name]:5} × {rule.name}: {rule.why}" for rule in RULES]
        lines.append(f"  {len(self.unexplained)} disagreements that no rule explains")
        for found in self.unexplained[:SHOWN]:
            fields = sorted(differences(found.ours, found.theirs))
            lines += [
                f"    {found.case}",
                f"      {fields}",
                f"      ours: {found.ours}",
                f"      theirs: {found.theirs}",
            ]
            lines += [f"      headers: {found.case.headers}"]
        return "\n".join(lines)


class Comparison:
    """Compares Better Auth with us, on one database and with one strategy of the cookie cache."""

    def __init__(
        self,
        accounts: Accounts,
        rows: psycopg.Connection,
        always: Auth[MemberSession, Member],
        cached: Auth[MemberSession, Member],
        report: Report,
    ) -> None:
        self._town = accounts
        self._always = always
        self._cached = cached
        self._ledger = report
        self._rows = rows

    async def compare(self, rng: random.Random) -> None:
        """Compares every session, in every state, with mutations of its cookies."""
        stranger = self._town.sign_up("stranger")
        await until_the_cache_is_used(self._cached, stranger.jar)
        for session in self._town.of_every_age():
            for mutation in mutations.basic_mutations(session):
                await self._compare(session, mutation)
                await self._compare(session, mutation, skips_cache=True)
        for session, earlier in self._town.in_every_state():
            tried = MUTATIONS.get(session.label, mutations.few_mutations)
            for mutation in tried(session, stranger, earlier, rng):
                await self._compare(session, mutation)
                if session.label == "plain":
                    await self._compare(session, mutation, skips_cache=True)

    async def _compare(self, session: UserSession, mutation: Mutation, *, skips_cache: bool = False) -> None:
        case = Case(self._ledger.version, self._town.strategy, skips_cache, session, *mutation)
        # Ours first, because Better Auth also writes.
        our_result = await ours(self._always if skips_cache else self._cached, case.headers)
        their_result = self._theirs(case.headers, session, SKIP_CACHE if skips_cache else "")
        if differences(our_result, their_result):
            pairs = [(name, value) for name, value in cookies_of(case.headers) if not name.startswith(DATA)]
            stored = self._theirs([cookie_header(*pairs)], session, SKIP_CACHE_AND_REFRESH)
            self._ledger.disagree(Disagreement(case, our_result, their_result, stored))
        else:
            self._ledger.agree(case, their_result)

    def _theirs(self, headers: Sequence[bytes], session: UserSession, query: str) -> Result:
        with self._restored_row(session):
            return theirs(self._town.servers, self._town.strategy, headers, query)

    @contextmanager
    def _restored_row(self, session: UserSession) -> Generator[None]:
        if session.age < UPDATE_AGE:
            yield
            return
        # Better Auth updates the times of a row that is due for a refresh, and deletes an expired row.
        row = self._rows.execute("SELECT to_jsonb(session) FROM session WHERE token = %s", [session.token]).fetchone()
        yield
        if row:
            self._rows.execute(RESTORE, [Jsonb(row[0])])
