//! The only place of these tests that waits without being woken.

use std::time::Duration;

use tokio::time::{interval, timeout};

/// Waits until `condition` holds, for `most` at the longest; `false` if it never did.
pub(crate) async fn eventually(most: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let mut look = interval(Duration::from_millis(20));
    let held = async {
        while !condition().await {
            look.tick().await;
        }
    };
    timeout(most, held).await.is_ok()
}
