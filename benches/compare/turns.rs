//! Measuring servers in turns, and tables of what came out.
//!
//! A machine that is not ours alone is faster in one minute than in the next. So every server has a turn in every
//! round, ratios are those within a round, and what is told is the median of the rounds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What one server did in one turn.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) rate: f64,
    /// What each of what the rate counts cost the server.
    pub(crate) cpu: f64,
}

/// What is measured in one turn, and in which units.
pub(crate) struct Title<'a> {
    pub(crate) what: &'a str,
    pub(crate) rate: &'a str,
    /// `None` where it cannot be measured.
    pub(crate) cpu: Option<&'a str>,
}

/// Lets all servers have their turns, and prints a table for each of the `titles`, with ours, the first one, over the
/// others. A peer that fails has no further turns, and its row says so; a failure of ours ends the run.
pub(crate) fn tables<S, const N: usize>(
    titles: &[Title; N],
    rounds: usize,
    servers: &mut [(&str, S)],
    mut turn: impl FnMut(&mut S) -> [Figure; N],
) {
    let mut failed = vec![false; servers.len()];
    let rounds: Vec<Vec<Option<[Figure; N]>>> = (0..rounds)
        .map(|_| {
            let mut figures = Vec::new();
            for (row, (name, server)) in servers.iter_mut().enumerate() {
                let measured = if failed[row] {
                    None
                } else {
                    match catch_unwind(AssertUnwindSafe(|| turn(server))) {
                        Err(ours) if row == 0 => resume_unwind(ours),
                        Err(_) => {
                            println!("{name} failed, see above");
                            failed[row] = true;
                            None
                        }
                        Ok(figures) => Some(figures),
                    }
                };
                figures.push(measured);
            }
            figures
        })
        .collect();
    for (column, title) in titles.iter().enumerate() {
        print!("\n{:<32} {:>12} {:>7}", title.what, title.rate, "ratio");
        println!("{}", title.cpu.map_or(String::new(), |unit| format!(" {unit:>12} {:>7}", "ratio")));
        for (row, (name, _)) in servers.iter().enumerate() {
            let pairs: Vec<(Figure, Figure)> = rounds
                .iter()
                .filter_map(|round| Some((round[0].as_ref()?[column], round[row].as_ref()?[column])))
                .collect();
            if failed[row] || pairs.is_empty() {
                println!("{name:<32} failed");
                continue;
            }
            let columns = |of: &dyn Fn(&Figure) -> f64, decimals: usize| {
                let figure = median(pairs.iter().map(|(_, theirs)| of(theirs)));
                let ratio = median(pairs.iter().map(|(ours, theirs)| of(ours) / of(theirs)));
                format!(" {figure:>12.decimals$} {ratio:>7.2}")
            };
            let cpu = title.cpu.map_or(String::new(), |_| columns(&|figure| figure.cpu, 3));
            println!("{name:<32}{}{cpu}", columns(&|figure| figure.rate, 0));
        }
    }
}

pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
