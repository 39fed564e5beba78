//! Reads and writes the questions of walks on a substream.

use std::io;

use futures::prelude::*;
use libp2p::StreamProtocol;
use libp2p::request_response;

use super::{invalid, read_all};
use crate::wire::find::{MAX_QUESTION_LEN, MAX_REPLY_LEN, Question, Reply};

/// The codec of the find protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindCodec;

impl request_response::Codec for FindCodec {
    type Protocol = StreamProtocol;
    type Request = Question;
    type Response = Reply;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Question>
    where
        T: AsyncRead + Unpin + Send,
    {
        Question::decode(&read_all(io, MAX_QUESTION_LEN).await?).map_err(invalid)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        Reply::decode(&read_all(io, MAX_REPLY_LEN).await?).map_err(invalid)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, question: Question) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&question.encode()).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, reply: Reply) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&reply.encode()).await
    }
}
