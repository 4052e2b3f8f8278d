//! What every kind of store must do, as one suite that runs on each of them: memory, a local folder, S3 as `s3s-fs`
//! and as a server with flat keys, Google Cloud Storage through either driver, and the endpoint in
//! `BUCKETPORT_CONFORMANCE_URL` if there is one.

/// Fails unless the result is this error of `bucketport::storage`.
macro_rules! assert_err {
    ($result:expr, $($pattern:tt)+) => {
        match $result {
            Err(bucketport::storage::Error::$($pattern)+) => {}
            other => panic!("expected {}, got {other:?}", stringify!($($pattern)+)),
        }
    };
}

mod data;
mod fixture;
mod flat;
mod gcs;
mod server;

mod append;
mod directory;
mod download;
mod facts;
mod faults;
mod folders;
mod foreign;
mod labels;
mod left_over;
mod list;
mod listings;
mod local;
mod matrix;
mod memory;
mod model;
mod name;
mod outcomes;
mod parents;
mod recovery;
mod refusals;
mod rename;
mod rename_directory;
mod resume;
mod resume_anyway;
mod streamed;
mod times;
mod upload;
mod view;

/// Makes a test of every case for every store.
macro_rules! suite {
    (on [$($store:ident)*] $cases:tt) => {
        $(suite!(@store $store $cases);)*
    };
    (@store $store:ident { $($theme:ident: $($case:ident)*;)* }) => {
        mod $store {
            $(mod $theme {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    use futures::FutureExt;
                    let Some(fixture) = $crate::fixture::Fixture::$store().await else { return };
                    let case = std::panic::AssertUnwindSafe($crate::$theme::$case(&fixture));
                    let result = case.catch_unwind().await;
                    fixture.finish(result).await;
                })*
            })*
        }
    };
}

suite! { on [on_memory on_local on_s3 on_s3_flat on_gcs on_gcs_streamed on_endpoint] {
    upload: sizes replaces creates creates_against_a_rival over_a_directory aborted_leaves_nothing
        aborted_leaves_the_old_file dropped_leaves_nothing aborted_leaves_no_directory;
    append: to_missing_empty_and_small to_several_parts from_an_offset from_an_offset_of_several_parts
        loses_to_a_rival aborted_keeps_the_old_file;
    download: from_offsets of_what_is_no_file is_one_version_when_replaced is_reset_when_it_fails is_aborted;
    name: stay_as_they_are long_ones too_long_ones what_no_store_holds;
    list: empty_root files_and_directories many many_directories of_a_file of_what_is_missing;
    directory: made_and_removed made_level_by_level implied only_when_empty outlives_its_files of_a_file deleting_files markers_are_hidden;
    rename: moves onto_another onto_itself onto_a_directory of_what_is_no_file leaves_the_directory
        moves_what_cannot_be_copied;
    rename_directory: moves_all moves_more_than_a_page keeps_the_directory_above onto_itself_and_others into_itself of_what_is_missing;
    parents: are_looked_at;
    times: are_kept_or_left_alone are_for_files_that_are_there are_set_by_who_may_write;
    memory: many_uploads_share_a_little many_appends_share_a_little many_downloads_share_a_little;
} }

/// What breaks off on `unftp-sbe-gcs` leaves nothing to go on with.
mod kept {
    suite! { on [on_memory on_local on_s3 on_s3_flat on_gcs on_endpoint] {
        resume: goes_on_where_it_broke appends_where_it_broke breaks_again_and_again goes_on_within_the_tail
            an_old_file_stays_until_it_is_complete begins_anew_without_rest is_given_up_by_delete
            is_given_up_by_an_abort is_one_session_s_at_a_time is_one_session_s_of_many is_over_after_its_window
            appends_to_files_are_not_kept lives_on_a_little_memory;
    } }
}
