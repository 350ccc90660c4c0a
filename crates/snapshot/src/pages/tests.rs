use super::*;

const PAGE: usize = 16 << 10;

fn put(page: &mut [u8], at: usize, value: u32) {
    page[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// A page with content, without a checksum.
fn blank(size: usize) -> Vec<u8> {
    let mut page: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
    put(&mut page, 0, 0);
    put(&mut page, PAGE_NUMBER, 9);
    put(&mut page, KEY_VERSION, 0);
    page[TYPE..TYPE + 2].copy_from_slice(&17855_u16.to_be_bytes());
    page
}

fn full_page() -> Vec<u8> {
    let mut page = blank(PAGE);
    page.copy_within(LSN + 4..LSN + 8, PAGE - 8);
    let sum = crc(&page[..PAGE - 4]);
    put(&mut page, PAGE - 4, sum);
    page
}

fn older_page() -> Vec<u8> {
    let mut page = blank(PAGE);
    page.copy_within(LSN + 4..LSN + 8, PAGE - 4);
    let sum = crc(&page[4..26]) ^ crc(&page[38..PAGE - 8]);
    put(&mut page, 0, sum);
    put(&mut page, PAGE - 8, sum);
    page
}

/// Which of the bytes, each flipped alone, make the page unsound.
fn noticed(format: Format, page: &[u8]) -> usize {
    assert!(format.is_sound(page));
    let flipped = |at: usize| {
        let mut page = page.to_vec();
        page[at] ^= 0x10;
        page
    };
    (0..page.len())
        .filter(|at| !format.is_sound(&flipped(*at)))
        .count()
}

#[test]
fn the_checksum_is_crc32c() {
    assert_eq!(crc(b"123456789"), 0xE306_9283);
}

#[test]
fn a_flipped_bit_anywhere_in_a_full_crc32_page_is_noticed() {
    let format = Format::Full { page: PAGE };
    assert_eq!(noticed(format, &full_page()), PAGE);
}

#[test]
fn a_compressed_page_is_checked_up_to_its_size() {
    let format = Format::Full { page: PAGE };
    let mut page = blank(PAGE);
    page[TYPE..TYPE + 2].copy_from_slice(&(COMPRESSED | 16).to_be_bytes());
    let sum = crc(&page[..16 * 256 - 4]);
    put(&mut page, 16 * 256 - 4, sum);
    assert!(format.is_sound(&page));
    page[16 * 256] ^= 1;
    assert!(format.is_sound(&page), "what follows is no part of it");
    page[16 * 256 - 1] ^= 1;
    assert!(!format.is_sound(&page));
    // sizes that cannot be
    for size in [0_u16, 64, 0x7FFF] {
        page[TYPE..TYPE + 2].copy_from_slice(&(COMPRESSED | size).to_be_bytes());
        assert!(!format.is_sound(&page), "{size}");
    }
}

#[test]
fn the_older_formats_leave_out_some_fields() {
    // the time of the last flush, or the key's version, and the space's number
    let older = noticed(Format::Older { page: PAGE }, &older_page());
    assert_eq!(older, PAGE - 12);
    let mut page = blank(8 << 10);
    let sum = crc(&page[4..16]) ^ crc(&page[24..26]) ^ crc(&page[34..]);
    put(&mut page, 0, sum);
    let zip = noticed(Format::Zip { page: 8 << 10 }, &page);
    assert_eq!(zip, (8 << 10) - 16);
}

#[test]
fn an_encrypted_page_of_the_older_format_has_a_checksum_of_its_own() {
    let format = Format::Older { page: PAGE };
    let mut page = older_page();
    put(&mut page, KEY_VERSION, 3);
    page[5000] ^= 1;
    assert!(!format.is_sound(&page));
    let sum = crc(&page[4..26]) ^ crc(&page[38..PAGE - 8]);
    put(&mut page, ENCRYPTED_CHECKSUM, sum);
    assert!(format.is_sound(&page));
}

#[test]
fn pages_of_zeros_are_sound_and_short_ones_are_not() {
    for format in [
        Format::Full { page: PAGE },
        Format::Older { page: PAGE },
        Format::Zip { page: PAGE },
    ] {
        assert!(format.is_sound(&vec![0; PAGE]));
        assert!(!format.is_sound(&vec![0; PAGE - 1]));
        assert!(!format.is_sound(&[]));
    }
}

#[test]
fn the_flags_of_a_file_tell_its_format() {
    let of = |flags: u32| {
        let mut head = [0; HEAD];
        put(&mut head, FLAGS, flags);
        Format::of(&head)
    };
    assert_eq!(of(0x15), Some(Format::Full { page: PAGE }));
    assert_eq!(of(0x13), Some(Format::Full { page: 4096 }));
    assert_eq!(of(0x17), Some(Format::Full { page: LARGEST }));
    assert_eq!(of(0x21), Some(Format::Older { page: PAGE }));
    assert_eq!(of(0x29), Some(Format::Zip { page: 8192 }));
    for wrong in [0x10, 0x18, 0x2D, 0x2F, 0x201] {
        assert_eq!(of(wrong), None, "{wrong:x}");
    }
    assert_eq!(Format::of(&[0; 57]), None);
}
