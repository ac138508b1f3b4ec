//! Keys over HTTP: what the endpoint may do to us.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use auth_middleware::jwt::jwks::KeySource;
use auth_middleware::jwt::jwks::http::{HttpKeys, MAX_BYTES};
use auth_middleware::settings::JwksUrl;

use crate::issuer::document;

/// Answers every request with these bytes, and counts connections and requests.
struct Server {
    port: u16,
    seen: Arc<Mutex<(usize, Vec<String>)>>,
}

impl Server {
    fn answering(response: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new((0, Vec::new())));
        let server = Self { port, seen: Arc::clone(&seen) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                seen.lock().expect("no panic").0 += 1;
                let (seen, response) = (Arc::clone(&seen), response.clone());
                thread::spawn(move || serve(stream, &seen, &response));
            }
        });
        server
    }

    fn with_document(document: &str) -> Self {
        Self::answering(ok(document))
    }

    fn url(&self) -> JwksUrl {
        url(&format!("http://127.0.0.1:{}/api/auth/jwks", self.port))
    }

    async fn read(&self) -> Result<usize, String> {
        let keys = HttpKeys::new(&self.url()).expect("it is this machine").read().await;
        keys.map(|keys| keys.len()).map_err(|error| error.chain())
    }
}

fn url(text: &str) -> JwksUrl {
    JwksUrl::check("jwks_url", text).expect("it is this machine")
}

fn serve(mut stream: TcpStream, seen: &Mutex<(usize, Vec<String>)>, response: &[u8]) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..count]);
        if request.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&std::mem::take(&mut request)).to_lowercase();
            seen.lock().expect("no panic").1.push(text);
            // A client that has read enough hangs up.
            let _hung_up = stream.write_all(response);
        }
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
        .into_bytes()
}

#[tokio::test]
async fn a_document_is_read_over_one_kept_connection() {
    let server = Server::with_document(&document().to_string());
    let keys = HttpKeys::new(&server.url()).expect("it is this machine");
    for _ in 0..3 {
        assert_eq!(keys.read().await.expect("it answers").len(), 3);
    }
    let seen = server.seen.lock().expect("no panic");
    assert_eq!((seen.0, seen.1.len()), (1, 3));
    let request = &seen.1[0];
    assert!(request.starts_with("get /api/auth/jwks http/1.1\r\n"), "{request}");
    assert!(request.contains("accept: application/json\r\n"), "{request}");
    assert!(!request.contains("cookie") && !request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn a_chunked_document_is_read() {
    assert_eq!(Server::answering(chunked(&document().to_string())).read().await, Ok(3));
}

#[tokio::test]
async fn a_document_may_have_256_kib() {
    let document = document().to_string();
    let longest = format!("{document}{}", " ".repeat(256 * 1024 - document.len()));
    for response in [ok, chunked] {
        assert_eq!(Server::answering(response(&longest)).read().await, Ok(3));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::with_document(&document().to_string());
    for status in [301, 302, 303, 307, 308] {
        let location = target.url().as_url().clone();
        let head = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let why = Server::answering(head.into_bytes()).read().await.expect_err("it is not followed");
        assert!(why.contains(&status.to_string()) && why.contains("redirects are not followed"), "{why}");
    }
    assert_eq!(target.seen.lock().expect("no panic").0, 0);
}

#[tokio::test]
async fn whatever_is_no_key_set_is_refused() {
    let keys = |count: usize| format!(r#"{{"keys":[{}]}}"#, vec!["{}"; count].join(","));
    for (response, reason) in [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}".to_vec(), "404"),
        (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), "204"),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec(), "500"),
        (ok(""), "JSON object"),
        (ok("<html>"), "JSON object"),
        (ok("[]"), "JSON object"),
        (ok("{}"), "no \"keys\""),
        (ok(r#"{"keys":{}}"#), "no \"keys\""),
        (ok(r#"{"keys":[],"keys":[]}"#), "JSON object"),
        (ok(&keys(101)), "101 keys"),
        (ok(&" ".repeat(MAX_BYTES + 1)), "more than"),
        (chunked(&" ".repeat(MAX_BYTES + 1)), "more than"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n{".to_vec(), "more than"),
        (b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), "GET http://127.0.0.1"),
    ] {
        let shown = String::from_utf8_lossy(&response[..response.len().min(60)]).into_owned();
        let server = Server::answering(response);
        let why = server.read().await.expect_err(&shown);
        assert!(why.contains(reason), "{shown}: {why}");
    }
}

#[tokio::test]
async fn a_hundred_keys_that_cannot_be_used_are_none_and_an_error_for_nobody() {
    let server = Server::with_document(&format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 100].join(",")));
    assert_eq!(server.read().await, Ok(0));
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let keys = HttpKeys::new(&url(&format!("http://localhost:{port}/jwks")));
    let error = keys.expect("it is this machine").read().await.expect_err("nobody listens");
    assert!(error.to_string().contains("unavailable"), "{error}");
}
