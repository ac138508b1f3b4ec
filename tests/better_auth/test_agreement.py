"""Better Auth and we name the same person for the same cookies, at every step of a visitor's life."""

import secrets

from tests.support.polling import wait_until
from tests.support.sites import NAME, Browse, Browser, OpenSite


def test_a_stranger_is_nobody(browser: Browser) -> None:
    browser.assert_is_nobody()
    assert browser.post("/sign-in/email", **browser.account).status_code == 401
    browser.assert_is_nobody()


def test_a_visitor_signs_up_out_and_in_again(browser: Browser) -> None:
    browser.sign_up()
    first = browser.agreed()
    assert first is not None
    assert (first["user"]["email"], first["user"]["name"]) == (browser.account["email"], NAME)
    assert (first["user"]["email_verified"], first["user"]["image"]) == (False, None)
    kept = dict(browser.client.cookies)
    browser.sign_out()
    browser.assert_is_nobody()
    browser.client.cookies.update(kept)
    browser.assert_is_nobody()
    browser.client.cookies.clear()
    assert browser.post("/sign-in/email", email=browser.account["email"], password="wrong password").status_code == 401
    browser.assert_is_nobody()
    browser.sign_in(rememberMe=False)
    second = browser.agreed()
    assert second is not None
    assert second["user"] == first["user"]
    assert second["session"]["id"] != first["session"]["id"]


def test_two_browsers_have_a_session_each(browser: Browser, browse: Browse) -> None:
    browser.sign_up()
    phone, stranger = browse(browser.site), browse(browser.site)
    phone.account = browser.account
    phone.sign_in()
    stranger.sign_up()
    said = [each.agreed() for each in (browser, phone, stranger)]
    assert [bool(each) for each in said] == [True] * 3
    ids = [each["session"]["id"] for each in said if each]
    assert len(set(ids)) == 3
    phone.sign_out()
    phone.assert_is_nobody()
    assert browser.agreed() == said[0]
    assert stranger.agreed() == said[2]


def test_what_changes_in_a_row_is_seen_at_once(browser: Browser) -> None:
    browser.sign_up()
    first = browser.agreed()
    assert first is not None
    site, session_id, user_id = browser.site, first["session"]["id"], first["user"]["id"]

    def move_end(interval: str) -> None:
        change = f"{site.column('expires_at')} = now() + interval '{interval}'"
        site.database.execute(f"UPDATE session SET {change} WHERE id = '{session_id}'")

    browser.post("/update-user", name="Grace", image="https://page.test/grace.png").raise_for_status()
    site.database.execute(f"""UPDATE "user" SET {site.column("email_verified")} = true WHERE id = '{user_id}'""")
    move_end("1 hour")
    # We only read: asking us leaves the session's end where it is.
    shown = browser.ours()
    assert browser.ours() == shown
    # Better Auth finds it due, and moves its end to seven days from now.
    second = browser.agreed()
    assert second is not None
    assert second["session"]["expires_at"] > first["session"]["expires_at"]
    assert (second["user"]["name"], second["user"]["image"]) == ("Grace", "https://page.test/grace.png")
    assert second["user"]["email_verified"] is True
    move_end("-1 second")
    browser.assert_is_nobody()


def test_a_deleted_user_is_nobody_even_if_the_session_is_left(browser: Browser) -> None:
    browser.sign_up()
    assert browser.agreed() is not None
    email = browser.account["email"]
    # As a replica, PostgreSQL does not delete what refers to the row.
    browser.site.database.execute(
        f"""SET session_replication_role = replica; DELETE FROM "user" WHERE email = '{email}'"""
    )
    browser.assert_is_nobody()


def test_a_value_signed_for_another_purpose_signs_nobody_in(browser: Browser) -> None:
    browser.sign_up(rememberMe=False)
    cookies = {cookie.name: cookie.value for cookie in browser.client.cookies.jar}
    [session_token] = [name for name in cookies if name.endswith("session_token")]
    [dont_remember] = [name for name in cookies if name.endswith("dont_remember")]
    assert browser.agreed() is not None
    for value in (cookies[dont_remember], f"{secrets.token_hex(16)}.{cookies[session_token]}"):
        browser.client.cookies.clear()
        browser.client.cookies.set(session_token, str(value))
        browser.assert_is_nobody()


def test_a_short_session_ends_by_itself(open_site: OpenSite, browse: Browse) -> None:
    browser = browse(open_site(expires_in_seconds=2))
    browser.sign_up()
    assert browser.agreed() is not None
    wait_until(lambda: browser.ours() is None)
    browser.assert_is_nobody()


def test_better_auths_cookie_cache_keeps_nobody_signed_in_here(open_site: OpenSite, browse: Browse) -> None:
    browser = browse(open_site(cookie_cache="compact"))
    browser.sign_up()
    assert browser.theirs(from_cache=True) is not None
    assert browser.agreed() is not None
    browser.site.database.execute("DELETE FROM session")
    assert browser.ours() is None
    assert browser.theirs(from_cache=True) is not None
    browser.assert_is_nobody()
