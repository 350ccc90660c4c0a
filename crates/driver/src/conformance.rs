//! The tests every driver passes.
