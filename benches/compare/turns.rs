//! Measuring servers in turns, and tables of what came out.
//!
//! A machine that is not ours alone is faster in one minute than in the next. So every server has a turn in every
//! round, ratios are those within a round, and what is told is the median of the rounds.

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
/// others.
pub(crate) fn tables<S, const N: usize>(
    titles: &[Title; N],
    rounds: usize,
    servers: &mut [(&str, S)],
    mut turn: impl FnMut(&mut S) -> [Figure; N],
) {
    let rounds: Vec<Vec<[Figure; N]>> =
        (0..rounds).map(|_| servers.iter_mut().map(|(_, server)| turn(server)).collect()).collect();
    for (column, title) in titles.iter().enumerate() {
        let median = |figure: &dyn Fn(&[[Figure; N]]) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(|round| figure(round)).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        print!("\n{:<32} {:>12} {:>7}", title.what, title.rate, "ratio");
        println!("{}", title.cpu.map_or(String::new(), |unit| format!(" {unit:>12} {:>7}", "ratio")));
        for (row, (name, _)) in servers.iter().enumerate() {
            let columns = |of: &dyn Fn(&Figure) -> f64, decimals: usize| {
                let figure = median(&|round| of(&round[row][column]));
                let ratio = median(&|round| of(&round[0][column]) / of(&round[row][column]));
                format!(" {figure:>12.decimals$} {ratio:>7.2}")
            };
            let cpu = title.cpu.map_or(String::new(), |_| columns(&|figure| figure.cpu, 3));
            println!("{name:<32}{}{cpu}", columns(&|figure| figure.rate, 0));
        }
    }
}
