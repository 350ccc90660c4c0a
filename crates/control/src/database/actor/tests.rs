use super::super::turn;
use super::*;

/// The size of what a function returns, which is not called.
fn size_of_made<T, F>(_make: impl FnOnce(T) -> F) -> usize {
    size_of::<F>()
}

/// Ten thousand databases may be parked, and each of them is kept in memory: whoever adds to one
/// of these asks first whether it could be boxed, shared, or made when it is needed.
#[test]
fn a_database_that_sleeps_is_small() {
    let task = size_of_made(|actor: Box<Actor>| turn::run(actor, true));
    let sizes = [task, size_of::<Actor>(), size_of::<Database>()];
    // 344 and 336 are the same to the allocator, which gives out sixteen bytes at a time
    let most = [192, 256, 344];
    let fits = sizes.iter().zip(most).all(|(size, most)| *size <= most);
    assert!(fits, "{sizes:?} bytes, at most {most:?}");
}
