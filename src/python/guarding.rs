//! Guards the connection of a request that was identified.

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use super::bridge::Bridge;
use super::errors::exception;
use super::request_state::RequestState;
use super::scope::ScopeRequest;
use super::watch::Watch;
use crate::engine::Engine;
use crate::guards::Whose;

pub(super) fn watch(
    engine: &Engine,
    scope: &Bound<'_, PyAny>,
    state: &Bound<'_, RequestState>,
    guard: &Bound<'_, PyAny>,
) -> PyResult<Watch> {
    let py = scope.py();
    let request = ScopeRequest::of(scope)?;
    let subject = state.get().subject(py, |identity| {
        // Only a JWT has no session.
        let token = match identity.session {
            Some(_) => None,
            None => engine.token_claims(request.as_request()),
        };
        engine.subject(identity, token.map(|token| token.expires_at()))
    });
    let unidentified = || PyRuntimeError::new_err("the request was not identified");
    let (subject, since) = subject.ok_or_else(unidentified)?;
    let bridge = Bridge::of_running_loop(py)?;
    let (id, end) = bridge.get().guard(guard)?;
    let watch = engine.guard(subject, since, end);
    let watch = watch.inspect_err(|_| bridge.get().stop_guarding(id)).map_err(|error| exception(&error))?;
    Ok(Watch::new(bridge.unbind(), id, watch))
}

pub(super) fn disconnect(
    engine: &Engine,
    user_id: Option<&str>,
    session_id: Option<&str>,
) -> PyResult<usize> {
    let whose = match (user_id, session_id) {
        (Some(id), None) => Whose::User(id),
        (None, Some(id)) => Whose::Session(id),
        _ => return Err(PyTypeError::new_err("disconnect takes either user_id or session_id")),
    };
    Ok(engine.disconnect(whose))
}
