//! "Did you mean": the known word nearest to a mistyped one.

/// The candidate with the smallest edit distance, if it is near enough to be what was meant. Case does not count.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (typed.len() / 3).clamp(1, 4);
    candidates
        .map(|candidate| {
            let known: Vec<char> = candidate.to_lowercase().chars().collect();
            (distance(&typed, &known, limit), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) that make `a` into `b`; anything above `limit` if it is more.
fn distance(a: &[char], b: &[char], limit: usize) -> usize {
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, right) in b.iter().enumerate() {
            let replace = last[j] + usize::from(left != right);
            let mut best = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["tickTime", "dataDir", "dataLogDir", "clientPort", "snapCount"];

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        for (typed, meant) in [
            ("tickTimes", "tickTime"),
            ("ticktime", "tickTime"),
            ("dataDri", "dataDir"),
            ("clientport", "clientPort"),
            ("snapsCount", "snapCount"),
            ("dataLogdir", "dataLogDir"),
        ] {
            assert_eq!(nearest(typed, KEYS.into_iter()), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_word_of_its_own_finds_nothing() {
        for typed in ["color", "x", "", "serverLog"] {
            assert_eq!(nearest(typed, KEYS.into_iter()), None, "{typed}");
        }
    }

    #[test]
    fn swapped_neighbours_are_one_edit() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("abcd"), &letters("acbd"), 3), 1);
        assert_eq!(distance(&letters("abc"), &letters("abc"), 3), 0);
        assert_eq!(distance(&letters("abc"), &letters("xyz"), 3), 3);
    }
}
