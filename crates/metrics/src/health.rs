//! Why a connected service cannot execute requests: for `/readyz`.

use std::sync::{Arc, PoisonError, RwLock};

/// Why requests cannot be executed, while that is so. Clones share the state.
///
/// The engine sets a fault when the database cannot execute any batch (a missing grant, a dropped column),
/// stores only a part of one, or fails for 30 seconds. The next commit clears it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<RwLock<Option<String>>>);

impl Health {
    /// From now on no request can be executed, for this reason.
    pub fn set_fault(&self, reason: &str) {
        self.replace(Some(reason.to_owned()));
    }

    /// Requests are executed again.
    pub fn clear(&self) {
        self.replace(None);
    }

    /// Why no request can be executed, if that is so.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, fault: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
