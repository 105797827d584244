//! The flight recorder in a simulated world: what every server is told is written down, in files that begin at random
//! moments with a copy of the running server. The world does not notice, not even when the server is replaced by what
//! its copy says.

use crate::rng::Rng;
use zoetrope_core::flight::{Copy, Copying, End, Recorder, Replay};
use zoetrope_core::{Config, Input, Listing, Now, Server, Turn};

/// Recording of one server.
#[derive(Clone)]
pub(crate) struct Flight {
    rng: Rng,
    seed: u64,
    /// A copy that is complete takes the server's place.
    replace: bool,
    current: Option<(Recorder, Vec<u8>)>,
    next: Option<(Copy, Vec<u8>)>,
    files: Vec<Vec<u8>>,
}

impl Flight {
    pub(crate) fn new(seed: u64, host: usize, replace: bool) -> Self {
        let rng = Rng::new(seed, &format!("flight {host}"));
        Self { rng, seed, replace, current: None, next: None, files: Vec::new() }
    }

    /// Every file so far.
    pub(crate) fn files(&self) -> impl Iterator<Item = &[u8]> {
        let open = self.current.iter().map(|(_, file)| &file[..]);
        self.files.iter().map(|file| &file[..]).chain(open)
    }

    pub(crate) fn born(&mut self, config: &Config, seed: u64, now: Now, listing: &Listing) {
        let mut file = Vec::new();
        let recorder = Recorder::born(config, seed, now, listing, &mut file);
        (self.seed, self.current) = (seed, Some((recorder, file)));
    }

    /// The process is gone: what stands in the file is all there is.
    pub(crate) fn killed(&mut self) {
        self.next = None;
        self.files.extend(self.current.take().map(|(_, file)| file));
    }

    /// Before an input.
    pub(crate) fn input(&mut self, now: Now, input: &Input<'_>) {
        if let Some((recorder, file)) = &mut self.current {
            recorder.input(now, input, file);
        }
    }

    pub(crate) fn turn_begins(&mut self, now: Now) {
        if let Some((recorder, file)) = &mut self.current {
            recorder.turn_begins(now, file);
        }
    }

    pub(crate) fn turn_ends(&mut self, turn: &Turn<'_>) {
        if let Some((recorder, file)) = &mut self.current {
            recorder.turn_ends(turn, file);
        }
    }

    /// After an input, or a turn whose effects are carried out: begins a copy, or goes on with it, or does neither.
    pub(crate) fn copy(&mut self, server: &mut Server, now: Now) {
        let Some((mut copy, mut file)) = self.next.take() else {
            if self.rng.one_in(100) {
                let mut file = Vec::new();
                let begun = Copy::begin(server, self.seed, now, &mut file);
                self.next = begun.map(|copy| (copy, file));
            }
            return;
        };
        if self.rng.one_in(2) {
            let budget = self.rng.below(1_000) as usize;
            match copy.go_on(server, budget, &mut file) {
                Copying::More => {}
                Copying::Lost => return,
                Copying::Ready if self.rng.one_in(4) => {
                    return self.go_over(copy, file, server, now);
                }
                Copying::Ready => {}
            }
        }
        self.next = Some((copy, file));
    }

    fn go_over(&mut self, copy: Copy, mut file: Vec<u8>, server: &mut Server, now: Now) {
        if let Some((_, mut last)) = self.current.take() {
            Recorder::end(server, End::Continued, &mut last);
            self.files.push(last);
        }
        let recorder = copy.finish(server, now, &mut file);
        if self.replace {
            let replay = Replay::open(&file).expect("what was just written can be read");
            *server = replay.server().clone();
        }
        self.current = Some((recorder, file));
    }
}
