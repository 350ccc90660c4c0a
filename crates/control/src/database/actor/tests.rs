use super::super::turn;
use super::*;

/// Size of the value that a function returns; the function is not called.
fn size_of_made<T, F>(_make: impl FnOnce(T) -> F) -> usize {
    size_of::<F>()
}

/// Ten thousand databases may be parked, and all of them are kept in memory. Before adding a field to one of
/// these types, consider boxing it, sharing it, or creating it when it is needed.
#[test]
fn a_sleeping_database_takes_little_memory() {
    let task = size_of_made(|actor: Box<Actor>| turn::run(actor, true));
    let sizes = [task, size_of::<Actor>(), size_of::<Database>()];
    // the allocator rounds sizes up to a multiple of 16 bytes, so 368 and 376 bytes take the same space
    let most = [120, 248, 376];
    let fits = sizes.iter().zip(most).all(|(size, most)| *size <= most);
    assert!(fits, "{sizes:?} bytes, at most {most:?}");
}
