//! Which questions of one flow (a socket, a connection) are open.
//!
//! The id of a question is its slot plus a generation in the bits above, so an answer finds its slot without a
//! search, a late answer to a question already given up is told from a fresh one, and the table stays as small as
//! the window: 65,536 ids for each of 64 sockets would not stay in any cache.

/// An open question.
#[derive(Clone, Copy)]
struct Slot {
    id: u16,
    open: bool,
    question: u32,
    /// Nanoseconds on the clock of the run.
    asked: u64,
}

/// The open questions of one flow.
pub(crate) struct Window {
    slots: Vec<Slot>,
    free: Vec<u16>,
    mask: u16,
}

impl Window {
    /// `size` open questions at most: 1..=32,768, so that at least one bit is left for the generation.
    pub(crate) fn new(size: usize) -> Window {
        let size = size.clamp(1, 32_768);
        let mask = (size.next_power_of_two() - 1) as u16;
        Window {
            slots: (0..size).map(|i| Slot { id: i as u16, open: false, question: 0, asked: 0 }).collect(),
            free: (0..size as u16).rev().collect(),
            mask,
        }
    }

    /// Questions that may be opened now.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Questions waiting for an answer.
    pub(crate) fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a slot and gives the id to ask with; `None` when all are open.
    pub(crate) fn ask(&mut self, question: usize, now: u64) -> Option<u16> {
        let slot = &mut self.slots[usize::from(self.free.pop()?)];
        slot.id = slot.id.wrapping_add(self.mask.wrapping_add(1));
        slot.open = true;
        slot.question = question as u32;
        slot.asked = now;
        Some(slot.id)
    }

    /// Closes the question an answer belongs to: (question, when it was asked). `None`: nobody waits for it.
    pub(crate) fn answer(&mut self, id: u16) -> Option<(usize, u64)> {
        let at = id & self.mask;
        let slot = self.slots.get_mut(usize::from(at)).filter(|slot| slot.open && slot.id == id)?;
        slot.open = false;
        self.free.push(at);
        Some((slot.question as usize, slot.asked))
    }

    /// Takes back a question that was not sent after all.
    pub(crate) fn withdraw(&mut self, id: u16) {
        self.answer(id);
    }

    /// Gives up on all questions asked before `limit`; how many.
    pub(crate) fn expire(&mut self, limit: u64) -> u64 {
        let mut lost = 0;
        for (at, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.open && slot.asked < limit) {
            slot.open = false;
            self.free.push(at as u16);
            lost += 1;
        }
        lost
    }
}
