//! Google Cloud Storage through the crate `unftp-sbe-gcs`: an upload is one streaming request.

mod bucket;
mod connect;
mod feed;
mod upload;

pub(in crate::storage) use bucket::StreamedBucket;
pub(in crate::storage) use connect::connect;
