use super::*;
use crate::settings::BearerForm;

fn read<'a>(headers: &[(&'a str, &'a str)]) -> Credentials<'a> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Credentials::read(headers, &CookieNames::of("s"))
}

#[test]
fn only_methods_that_change_nothing_are_safe() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(Kind::of_method(method), Kind::SafeHttp, "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get", "QUERY", ""] {
        assert_eq!(Kind::of_method(method), Kind::UnsafeHttp, "{method}");
    }
}

#[test]
fn what_is_presented_has_the_name_of_its_kind() {
    let accepted = AcceptedCredentials { cookie: true, bearer: Some(BearerForm::SignedOrNot), jwt: true };
    for (header, kind) in [
        (("cookie", "s=c"), Some("cookie")),
        (("authorization", "Bearer a.b"), Some("bearer")),
        (("authorization", "Bearer a"), Some("bearer")),
        (("authorization", "Bearer a b"), Some("bearer")),
        (("authorization", "Bearer a.b.c"), Some("jwt")),
        (("authorization", "Basic YTpi"), None),
    ] {
        let credential = read(&[header]).presented(Kind::SafeHttp, accepted).credential();
        assert_eq!(credential.map(Credential::as_str), kind, "{header:?}");
    }
}

#[test]
fn the_other_spelling_of_the_cookie_is_noticed_and_not_read() {
    let names = CookieNames::of("s");
    assert_ne!(names.other_spelling, names.session_token);
    let cookie = format!("a=1; {}=token", names.other_spelling);
    let credentials = read(&[("cookie", &cookie)]);
    assert!(credentials.other_spelling && credentials.session_cookie.is_none());
    assert!(!read(&[("cookie", "a=1; s=token; st=1")]).other_spelling);
}

#[test]
fn an_empty_session_data_cookie_is_none() {
    let name = CookieNames::of("s").session_data;
    for (cookies, is_any) in [
        (String::new(), false),
        (format!("{name}="), false),
        (format!("{name}=\"\""), false),
        (format!("{name}.x=a"), false),
        (format!("{name}=a"), true),
        (format!("{name}.0=a"), true),
        (format!("{name}=; {name}.0=a"), true),
        (format!("{name}=a; {name}.0=a"), true),
    ] {
        assert_eq!(read(&[("cookie", &cookies)]).session_data.is_any(), is_any, "{cookies}");
    }
}
