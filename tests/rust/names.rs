//! The cookie names are those of the real better-auth package (`names.json`).

use auth_middleware::settings::{CookieNames, CookieOptions};
use serde_json::Value;

#[test]
fn every_recorded_configuration_has_the_same_cookie_name() {
    let text = include_str!("../vectors/names.json");
    let rows: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    assert!(!rows.is_empty());
    for row in rows {
        let options = &row["options"];
        let advanced = &options["advanced"];
        let base = options["baseURL"].as_str().or(options["env"]["BETTER_AUTH_URL"].as_str());
        let https = base
            .map(|url| url.starts_with("https://"))
            .or(options["baseURL"]["protocol"].as_str().map(|protocol| protocol == "https"));
        let name = CookieNames::check(CookieOptions {
            is_https: https,
            secure: advanced["useSecureCookies"].as_bool(),
            prefix: advanced["cookiePrefix"].as_str(),
            name: advanced["cookies"]["session_token"]["name"].as_str(),
            cache_name: advanced["cookies"]["session_data"]["name"].as_str(),
        });
        let decided_by_node_env = https.is_none() && advanced["useSecureCookies"].is_null();
        match name {
            Ok(names) => assert_eq!(
                Some(names.session_token.as_str()),
                row["result"]["session_token"].as_str(),
                "{row}"
            ),
            Err(error) => assert!(decided_by_node_env, "{row}: {error}"),
        }
    }
}
