//! A pool that is marked as closed holds all that its program flushed, drained
//! or not; and a pool whose close returned is marked so.

use crate::media;
use crate::recover::{Failure, Tally};
use crate::states::{self, Budget};
use crate::world::*;

pub const NAME: &str = "closing";
const VALUE: u64 = 0x1234_5678;

/// The recording, and where the program stored a word without draining it.
pub fn history() -> (History, u64) {
    let mut w = World::new(8);
    let root = w.pool().root(4000, None).unwrap().off;
    w.record();
    w.step("flushes", |p| {
        let word = at(p, root + 512);
        // SAFETY: an aligned word of the root.
        unsafe {
            word.cast::<u64>().write(VALUE);
            p.domain().flush(word, 8);
        }
    });
    (w.finish(NAME), root + 512)
}

pub fn judge(tally: &mut Tally) -> Result<(), Failure> {
    let (h, word) = history();
    let (mut image, mut failure) = (h.recording.initial.clone(), None);
    let opened = media::u64_at(&image, 0x1808);
    states::each(&h.recording, Budget { per_fence: 8 }, &mut image, |id, stop, image| {
        tally.states += 1;
        let closed = media::shutdown_state(image) == Some(false);
        let changed = media::u64_at(image, 0x1808) != opened;
        let what = if closed && changed && media::u64_at(image, word) != VALUE {
            "marked as closed, but what was flushed is lost"
        } else if stop.site.is_none() && !closed {
            "closed, but not marked so"
        } else {
            return true;
        };
        failure = Some(format!("{NAME} fence {} state {}: {what}", id.fence, id.n));
        false
    });
    failure.map_or(Ok(()), |f| Err(Failure(f)))
}

#[test]
fn closed_pools_are_complete() {
    judge(&mut Tally::default()).unwrap_or_else(|e| panic!("{}", e.0));
}
