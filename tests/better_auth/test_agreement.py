"""We return the same user as Better Auth for the same cookies, from sign-up to expiry."""

import secrets

from tests.support.polling import wait_until
from tests.support.sites import NAME, Browse, Browser, OpenSite


def test_a_visitor_without_a_session_is_signed_out(browser: Browser) -> None:
    browser.assert_signed_out()
    assert browser.post("/sign-in/email", **browser.account).status_code == 401
    browser.assert_signed_out()


def test_sign_up_sign_out_and_sign_in(browser: Browser) -> None:
    browser.sign_up()
    first = browser.agreed()
    assert first is not None
    assert (first["user"]["email"], first["user"]["name"]) == (browser.account["email"], NAME)
    assert (first["user"]["email_verified"], first["user"]["image"]) == (False, None)
    old_cookies = dict(browser.client.cookies)
    browser.sign_out()
    browser.assert_signed_out()
    browser.client.cookies.update(old_cookies)
    browser.assert_signed_out()
    browser.client.cookies.clear()
    assert browser.post("/sign-in/email", email=browser.account["email"], password="wrong password").status_code == 401
    browser.assert_signed_out()
    browser.sign_in(rememberMe=False)
    second = browser.agreed()
    assert second is not None
    assert second["user"] == first["user"]
    assert second["session"]["id"] != first["session"]["id"]


def test_two_browsers_have_separate_sessions(browser: Browser, browse: Browse) -> None:
    browser.sign_up()
    phone, other_user = browse(browser.site), browse(browser.site)
    phone.account = browser.account
    phone.sign_in()
    other_user.sign_up()
    results = [each.agreed() for each in (browser, phone, other_user)]
    assert [bool(each) for each in results] == [True] * 3
    ids = [each["session"]["id"] for each in results if each]
    assert len(set(ids)) == 3
    phone.sign_out()
    phone.assert_signed_out()
    assert browser.agreed() == results[0]
    assert other_user.agreed() == results[2]


def test_changes_of_rows_take_effect_at_once(browser: Browser) -> None:
    browser.sign_up()
    first = browser.agreed()
    assert first is not None
    site, session_id, user_id = browser.site, first["session"]["id"], first["user"]["id"]

    def set_expiry(interval: str) -> None:
        change = f"{site.column('expires_at')} = now() + interval '{interval}'"
        site.database.execute(f"UPDATE session SET {change} WHERE id = '{session_id}'")

    browser.post("/update-user", name="Grace", image="https://page.test/grace.png").raise_for_status()
    site.database.execute(f"""UPDATE "user" SET {site.column("email_verified")} = true WHERE id = '{user_id}'""")
    set_expiry("1 hour")
    # Our request does not extend the session.
    ours = browser.ours()
    assert browser.ours() == ours
    # Better Auth refreshes it, so that it expires in seven days.
    second = browser.agreed()
    assert second is not None
    assert second["session"]["expires_at"] > first["session"]["expires_at"]
    assert (second["user"]["name"], second["user"]["image"]) == ("Grace", "https://page.test/grace.png")
    assert second["user"]["email_verified"] is True
    set_expiry("-1 second")
    browser.assert_signed_out()


def test_a_deleted_user_is_signed_out_even_if_the_session_row_remains(browser: Browser) -> None:
    browser.sign_up()
    assert browser.agreed() is not None
    email = browser.account["email"]
    # With this setting, PostgreSQL does not cascade the deletion.
    browser.site.database.execute(
        f"""SET session_replication_role = replica; DELETE FROM "user" WHERE email = '{email}'"""
    )
    browser.assert_signed_out()


def test_a_value_signed_for_another_purpose_is_refused(browser: Browser) -> None:
    browser.sign_up(rememberMe=False)
    cookies = {cookie.name: cookie.value for cookie in browser.client.cookies.jar}
    [session_token] = [name for name in cookies if name.endswith("session_token")]
    [dont_remember] = [name for name in cookies if name.endswith("dont_remember")]
    assert browser.agreed() is not None
    for value in (cookies[dont_remember], f"{secrets.token_hex(16)}.{cookies[session_token]}"):
        browser.client.cookies.clear()
        browser.client.cookies.set(session_token, str(value))
        browser.assert_signed_out()


def test_a_session_expires(open_site: OpenSite, browse: Browse) -> None:
    browser = browse(open_site(expires_in_seconds=5))
    browser.sign_up()
    assert browser.agreed() is not None
    wait_until(lambda: browser.ours() is None)
    browser.assert_signed_out()


def test_better_auths_cookie_cache_does_not_keep_a_session_valid(open_site: OpenSite, browse: Browse) -> None:
    browser = browse(open_site(cookie_cache="compact"))
    browser.sign_up()
    assert browser.theirs(from_cache=True) is not None
    assert browser.agreed() is not None
    browser.site.database.execute("DELETE FROM session")
    assert browser.ours() is None
    assert browser.theirs(from_cache=True) is not None
    browser.assert_signed_out()
