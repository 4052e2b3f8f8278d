//! An S3 server whose keys are flat, as S3's are. `s3s-fs` keeps files, so it cannot hold `a//b` or `dir/`, knows no
//! conditional reads, and a directory on its disk answers HEAD.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Metadata,
    Object, PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// S3 refuses smaller parts, except the last.
const SMALLEST_PART: usize = 5 * 1024 * 1024;

/// One bucket in memory; clones share it.
#[derive(Clone, Default)]
pub(crate) struct FlatBucket(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Open>,
    versions: u64,
    /// What a page may hold at most; 0 is as S3.
    page_limit: usize,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    etag: String,
    modified: SystemTime,
    labels: Labels,
}

/// What an object has beside its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    pub(crate) metadata: Option<Metadata>,
    pub(crate) content_type: Option<String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) tags: Option<String>,
}

/// A multipart upload.
struct Open {
    parts: BTreeMap<i32, Bytes>,
    labels: Labels,
}

impl FlatBucket {
    /// Multipart uploads that are neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Puts an object there as another tool would, under any key.
    pub(crate) fn plant(&self, key: &str, bytes: &'static [u8]) {
        self.state().put(key, Bytes::from_static(bytes), Labels::default());
    }

    /// What an object has beside its bytes.
    pub(crate) fn labels(&self, key: &str) -> Labels {
        self.state().objects.get(key).expect("it is there").labels.clone()
    }

    /// Changes a byte of an object, as a failing disk would.
    pub(crate) fn damage(&self, key: &str) {
        let mut state = self.state();
        let stored = state.objects.get_mut(key).expect("it is there");
        let mut bytes = stored.bytes.to_vec();
        *bytes.last_mut().expect("not empty") ^= 1;
        stored.bytes = bytes.into();
    }

    /// Takes one away as another tool would.
    pub(crate) fn remove(&self, key: &str) {
        self.state().objects.remove(key);
    }

    pub(crate) fn holds(&self, key: &str) -> bool {
        self.state().objects.contains_key(key)
    }

    /// From now on no page of a listing has more than so many entries, whatever is asked for.
    pub(crate) fn limit_pages(&self, limit: usize) {
        self.state().page_limit = limit;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the lock")
    }
}

impl State {
    fn put(&mut self, key: &str, bytes: Bytes, labels: Labels) -> String {
        self.versions += 1;
        let etag = format!("version-{}", self.versions);
        let stored = Stored { bytes, etag: etag.clone(), modified: SystemTime::now(), labels };
        self.objects.insert(key.to_owned(), stored);
        etag
    }

    fn find(&self, key: &str) -> S3Result<Stored> {
        self.objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }

    fn require(
        &self,
        key: &str,
        match_: Option<&ETagCondition>,
        none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        let stored = self.objects.get(key);
        let holds = |condition: &ETagCondition| match condition {
            ETagCondition::Any => stored.is_some(),
            ETagCondition::ETag(etag) => stored.is_some_and(|stored| stored.etag == etag.value()),
        };
        if match_.is_some_and(|condition| !holds(condition)) || none_match.is_some_and(holds) {
            return Err(s3_error!(PreconditionFailed));
        }
        Ok(())
    }
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| s3_error!(IncompleteBody))?);
    }
    Ok(bytes.freeze())
}

fn length(bytes: &Bytes) -> Option<i64> {
    i64::try_from(bytes.len()).ok()
}

#[async_trait]
impl S3 for FlatBucket {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let bytes = collect(input.body).await?;
        let labels = Labels {
            metadata: input.metadata,
            content_type: input.content_type,
            storage_class: input.storage_class.map(|class| class.as_str().to_owned()),
            tags: input.tagging,
        };
        let mut state = self.state();
        state.require(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let e_tag = Some(ETag::Strong(state.put(&input.key, bytes, labels)));
        Ok(S3Response::new(PutObjectOutput { e_tag, ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let state = self.state();
        let stored = state.find(&input.key)?;
        state.require(&input.key, input.if_match.as_ref(), None)?;
        let size = stored.bytes.len();
        let (bytes, content_range) = match input.range {
            None => (stored.bytes, None),
            Some(range) => {
                let range = range.check(size as u64)?;
                let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                let bounds =
                    usize::try_from(range.start).expect("fits")..usize::try_from(range.end).expect("fits");
                (stored.bytes.slice(bounds), Some(content_range))
            }
        };
        let output = GetObjectOutput {
            content_length: length(&bytes),
            body: Some(StreamingBlob::wrap(stream::iter([Ok::<_, std::io::Error>(bytes)]))),
            content_range,
            e_tag: Some(ETag::Strong(stored.etag)),
            last_modified: Some(Timestamp::from(stored.modified)),
            metadata: stored.labels.metadata,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let stored = self.state().find(&request.input.key)?;
        let output = HeadObjectOutput {
            content_length: length(&stored.bytes),
            e_tag: Some(ETag::Strong(stored.etag)),
            last_modified: Some(Timestamp::from(stored.modified)),
            metadata: stored.labels.metadata,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.state().objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut deleted = Vec::new();
        for object in request.input.delete.objects {
            self.state().objects.remove(&object.key);
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() }))
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = request.input;
        let CopySource::Bucket { key: source, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        let mut state = self.state();
        state.require(source, input.copy_source_if_match.as_ref(), None)?;
        let stored = state.find(source)?;
        let e_tag = Some(ETag::Strong(state.put(&input.key, stored.bytes, stored.labels)));
        let copy_object_result = CopyObjectResult {
            e_tag,
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        };
        let output = CopyObjectOutput { copy_object_result: Some(copy_object_result), ..Default::default() };
        Ok(S3Response::new(output))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let prefix = input.prefix.clone().unwrap_or_default();
        let limit = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or(1000).min(1000);
        let after = input.continuation_token.clone().or(input.start_after.clone()).unwrap_or_default();
        let (mut contents, mut groups, mut last) = (Vec::new(), Vec::<String>::new(), None);
        let mut is_truncated = false;
        let state = self.state();
        let limit = if state.page_limit == 0 { limit } else { limit.min(state.page_limit) };
        let keys = state.objects.range::<str, _>((Bound::Excluded(after.as_str()), Bound::Unbounded));
        for (key, stored) in keys.filter(|(key, _)| key.starts_with(&prefix)) {
            let group = input.delimiter.as_deref().and_then(|delimiter| {
                let rest = &key[prefix.len()..];
                rest.find(delimiter).map(|at| key[..prefix.len() + at + delimiter.len()].to_owned())
            });
            // A page that ended with a group resumes behind all of it.
            if group.as_ref().is_some_and(|group| groups.last() == Some(group) || *group == after) {
                continue;
            }
            if contents.len() + groups.len() == limit {
                is_truncated = true;
                break;
            }
            last = Some(group.clone().unwrap_or_else(|| key.clone()));
            match group {
                Some(group) => groups.push(group),
                None => contents.push(Object {
                    key: Some(key.clone()),
                    size: length(&stored.bytes),
                    e_tag: Some(ETag::Strong(stored.etag.clone())),
                    last_modified: Some(Timestamp::from(stored.modified)),
                    ..Default::default()
                }),
            }
        }
        let common_prefixes =
            groups.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect();
        let output = ListObjectsV2Output {
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            is_truncated: Some(is_truncated),
            next_continuation_token: last.filter(|_| is_truncated),
            name: Some(input.bucket),
            prefix: input.prefix,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut state = self.state();
        state.versions += 1;
        let upload_id = format!("upload-{}", state.versions);
        let input = &request.input;
        let labels = Labels {
            metadata: input.metadata.clone(),
            content_type: input.content_type.clone(),
            storage_class: input.storage_class.as_ref().map(|class| class.as_str().to_owned()),
            tags: input.tagging.clone(),
        };
        let open = Open { parts: BTreeMap::new(), labels };
        state.uploads.insert(upload_id.clone(), open);
        let output = CreateMultipartUploadOutput {
            bucket: Some(request.input.bucket),
            key: Some(request.input.key),
            upload_id: Some(upload_id),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let bytes = collect(input.body).await?;
        let mut state = self.state();
        let open = state.uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        open.parts.insert(input.part_number, bytes);
        let e_tag = Some(ETag::Strong(format!("part-{}", input.part_number)));
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let mut state = self.state();
        state.require(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let open = state.uploads.get(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut bytes = BytesMut::new();
        for (index, part) in named.iter().enumerate() {
            let part = part.part_number.and_then(|number| open.parts.get(&number));
            let part = part.ok_or_else(|| s3_error!(InvalidPart))?;
            if part.len() < SMALLEST_PART && index + 1 < named.len() {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.extend_from_slice(part);
        }
        let labels = state.uploads.remove(&input.upload_id).map(|open| open.labels).unwrap_or_default();
        let e_tag = Some(ETag::Strong(state.put(&input.key, bytes.freeze(), labels)));
        let output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let removed = self.state().uploads.remove(&request.input.upload_id);
        removed
            .map(|_| S3Response::new(AbortMultipartUploadOutput::default()))
            .ok_or_else(|| s3_error!(NoSuchUpload))
    }
}
