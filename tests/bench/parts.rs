//! Which parts there are: each measures a life of the function, or a few.

use std::{io, path::Path};

use futures_util::future::LocalBoxFuture;

use crate::{cold, counts, life::Pace, long, machine::Machine, record, table::Figure, warm};

/// A part of the measurement.
pub struct Part {
    /// Its name, by which it is asked for.
    pub name: &'static str,
    /// How often it is repeated.
    pub repeats: usize,
    /// When it is run.
    pub when: When,
    /// Measures it once.
    pub measure: for<'a> fn(Machine, &'a Path) -> LocalBoxFuture<'a, io::Result<Vec<Figure>>>,
}

/// When a part is run.
#[derive(Clone, Copy, PartialEq)]
pub enum When {
    /// Always.
    Always,
    /// Always, and for the baseline.
    Counted,
    /// The same, and it is of the library as it was built with this program, whatever the binary.
    OfLibrary,
    /// If its name is given: it takes minutes.
    Named,
}

/// All of them.
pub const ALL: &[Part] = &[
    part("init", 10, When::Always, |machine, binary| Box::pin(cold::init(machine, binary))),
    part("first import", 10, When::Always, |machine, binary| Box::pin(cold::first_import(machine, binary))),
    part("warm, no latency", 15, When::Always, |machine, binary| {
        Box::pin(warm::warm(machine, binary, Pace::HIGH, &[0], 100))
    }),
    part("warm, latency", 5, When::Always, |machine, binary| {
        Box::pin(warm::warm(machine, binary, Pace::HIGH, &[50, 200], 9))
    }),
    part("warm, default pace", 3, When::Always, |machine, binary| {
        Box::pin(warm::warm(machine, binary, Pace::DEFAULT, &[0, 50, 200], 1))
    }),
    part("burst", 5, When::Always, |machine, binary| Box::pin(warm::burst(machine, binary))),
    part("memory", 5, When::Always, |machine, binary| Box::pin(warm::memory(machine, binary))),
    part("size", 1, When::Counted, |_, binary| Box::pin(async { counts::size(binary) })),
    part("calls", 1, When::Counted, |machine, binary| Box::pin(counts::calls(machine, binary))),
    part("instructions", 1, When::Counted, |machine, binary| Box::pin(counts::instructions(machine, binary))),
    part("record", 1, When::OfLibrary, |_, _| Box::pin(record::measure())),
    part("fleet", 1, When::Named, |machine, binary| Box::pin(long::fleet(machine, binary))),
    part("long", 1, When::Named, |machine, binary| Box::pin(long::long(machine, binary))),
];

const fn part(
    name: &'static str,
    repeats: usize,
    when: When,
    measure: for<'a> fn(Machine, &'a Path) -> LocalBoxFuture<'a, io::Result<Vec<Figure>>>,
) -> Part {
    Part { name, repeats, when, measure }
}
