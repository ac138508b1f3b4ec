//! Reports, once, that the application declares a field that Better Auth's snapshots do not contain.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first such field.
#[derive(Debug, Default)]
pub(super) struct AbsentField {
    /// The model, and the field.
    first: OnceLock<(&'static str, String)>,
    is_reported: AtomicBool,
}

impl AbsentField {
    pub(super) fn found(&self, model: &'static str, field: &str) {
        self.first.get_or_init(|| (model, field.to_owned()));
    }

    pub(super) fn is_any(&self) -> bool {
        self.first.get().is_some()
    }

    /// The message for the operator, if there is one that was not returned before.
    pub(super) fn take_message(&self) -> Option<String> {
        let (model, field) = self.first.get()?;
        (!self.is_reported.swap(true, Ordering::Relaxed)).then(|| {
            format!(
                "{model} declares {field}, which Better Auth's cookie cache does not contain, so requests query the \
                 store: with this model freshness \"cookie_cache\" has no effect. Remove the field from the model, or \
                 declare it in Better Auth's additionalFields without returned: false"
            )
        })
    }
}
