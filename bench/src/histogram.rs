//! Latencies, counted in classes of 1/64 of their size: percentiles within 1.6 %, at a fixed cost.

/// Bits below the leading one that tell classes apart.
const FINE: u32 = 6;

/// Counts of nanoseconds by class, and the exact largest.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

fn class(nanos: u64) -> usize {
    let high = 63 - (nanos | 1).leading_zeros();
    if high <= FINE {
        return usize::try_from(nanos).expect("small");
    }
    let shift = high - FINE;
    let fine = usize::try_from((nanos >> shift) & ((1 << FINE) - 1)).expect("six bits");
    ((shift as usize + 1) << FINE) + fine
}

fn upper(class: usize) -> u64 {
    if class < 1 << (FINE + 1) {
        return class as u64;
    }
    let shift = (class >> FINE) - 1;
    let fine = (class & ((1 << FINE) - 1)) as u64;
    (((1 << FINE) + fine + 1) << shift) - 1
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; (64 << FINE) + 64], total: 0, largest: 0 }
    }

    pub(crate) fn add(&mut self, nanos: u64) {
        self.counts[class(nanos)] += 1;
        self.total += 1;
        self.largest = self.largest.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.largest = self.largest.max(other.largest);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The value that `share` of all values do not exceed, in microseconds.
    pub(crate) fn micros(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0);
        let mut seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen as f64 >= wanted {
                return upper(class).min(self.largest) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The largest value in microseconds.
    pub(crate) fn largest_micros(&self) -> f64 {
        self.largest as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_ends_where_the_next_begins() {
        for class_number in 0..1500 {
            assert_eq!(class(upper(class_number)), class_number);
            assert_eq!(class(upper(class_number) + 1), class_number + 1);
        }
    }

    #[test]
    fn percentiles_are_within_a_sixtieth() {
        let mut h = Histogram::new();
        for micros in 1..=1000 {
            h.add(micros * 1000);
        }
        assert!((h.micros(0.5) - 500.0).abs() < 500.0 / 60.0);
        assert!((h.micros(0.99) - 990.0).abs() < 990.0 / 60.0);
        assert!((h.micros(1.0) - 1000.0).abs() < f64::EPSILON);
    }
}
