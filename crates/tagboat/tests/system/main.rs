//! Whole-system stories: the real program against real servers, seen from the outside.

#![allow(unreachable_pub, reason = "tests have no outside")]

mod place;
mod story;
mod voice;
