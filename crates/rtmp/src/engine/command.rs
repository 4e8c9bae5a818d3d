//! The commands that peers send.

use super::{Act, Assembler, Connect, Connecting, Engine, EngineError, Event, Role};
use crate::amf0::{Value, object};
use crate::limits::MAX_MESSAGE_STREAMS;
use crate::link::lane;
use crate::status::Status;

/// A command, taken apart: name, transaction, command object, arguments.
pub(super) struct Command {
    pub(super) name: String,
    /// 0 when the peer wants no answer.
    transaction: f64,
    values: Vec<Value>,
}

impl Command {
    fn new(values: Vec<Value>) -> Result<Self, EngineError> {
        let name = values.first().and_then(Value::as_str).ok_or(EngineError::Command)?.to_owned();
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or(0.0);
        Ok(Self { name, transaction, values })
    }

    /// The object of connect.
    fn object(&self) -> Option<&Value> {
        self.values.get(2)
    }

    /// An argument, counted from 0 behind the command object.
    fn argument(&self, at: usize) -> Option<&Value> {
        self.values.get(3 + at)
    }

    /// A name that may be missing: an empty one is for the caller to refuse.
    fn name_argument(&self) -> String {
        self.argument(0).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Engine {
    pub(super) fn on_command(&mut self, stream: u32, values: Vec<Value>) -> Result<(), EngineError> {
        let command = Command::new(values)?;
        if (command.name == "connect") != (self.connect == Connecting::Not) {
            return Err(EngineError::Order);
        }
        match command.name.as_str() {
            "connect" => self.on_connect(&command)?,
            "createStream" => self.on_create_stream(&command)?,
            "publish" => {
                let assembler = Box::new(Assembler::new());
                self.ask(stream, command.name_argument(), Act::AskingToPublish(assembler))?;
            }
            "play" => self.ask(stream, command.name_argument(), Act::AskingToPlay)?,
            "deleteStream" => self.on_delete_stream(&command),
            "closeStream" => self.end_role_on(stream),
            "pause" | "receiveAudio" | "receiveVideo" => self.on_player_switch(&command),
            // A live stream has no length.
            "getStreamLength" => self.answer(&command, 0.0.into()),
            "releaseStream" | "FCPublish" | "FCUnpublish" | "FCSubscribe" | "FCUnsubscribe" | "_checkbw"
            | "checkBandwidth" => self.answer(&command, Value::Undefined),
            // Answers to what we never asked.
            "_result" | "_error" | "onStatus" => {}
            _ => self.answer_unknown(&command),
        }
        Ok(())
    }

    fn on_connect(&mut self, command: &Command) -> Result<(), EngineError> {
        let object = command.object().ok_or(EngineError::Command)?;
        let text = |name| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let connect = Connect { app: text("app"), tc_url: text("tcUrl"), flash_ver: text("flashVer") };
        self.connect = Connecting::Asked { transaction: command.transaction };
        self.events.push_back(Event::Connect(connect));
        Ok(())
    }

    fn on_create_stream(&mut self, command: &Command) -> Result<(), EngineError> {
        if self.streams.len() == MAX_MESSAGE_STREAMS {
            return Err(EngineError::TooManyStreams);
        }
        let free = (1..).find(|id| !self.streams.contains(id)).unwrap_or(1);
        self.streams.push(free);
        self.answer(command, f64::from(free).into());
        Ok(())
    }

    fn on_delete_stream(&mut self, command: &Command) {
        let id = command.argument(0).and_then(Value::as_number).unwrap_or(0.0) as u32;
        self.streams.retain(|stream| *stream != id);
        self.end_role_on(id);
    }

    fn end_role_on(&mut self, stream: u32) {
        if self.role.as_ref().is_some_and(|role| role.stream == stream) {
            self.end_role();
        }
    }

    fn on_player_switch(&mut self, command: &Command) {
        let Some(Role { act: Act::Playing(player), .. }) = &mut self.role else { return };
        let on = command.argument(0).and_then(Value::as_bool).unwrap_or(true);
        match command.name.as_str() {
            "receiveAudio" => player.audio_on = on,
            "receiveVideo" => player.set_video(on),
            _ => {
                player.set_paused(on);
                let (code, description) = if on {
                    ("NetStream.Pause.Notify", "Paused.")
                } else {
                    ("NetStream.Unpause.Notify", "Unpaused.")
                };
                self.status(&Status::good(code, description));
            }
        }
    }

    fn answer(&mut self, command: &Command, value: Value) {
        if command.transaction != 0.0 {
            let values = ["_result".into(), command.transaction.into(), Value::Null, value];
            self.link.command(lane::COMMAND, 0, &values);
        }
    }

    fn answer_unknown(&mut self, command: &Command) {
        if command.transaction != 0.0 {
            let outcome = object([("level", "error".into()), ("code", "NetConnection.Call.Failed".into())]);
            let values = ["_error".into(), command.transaction.into(), Value::Null, outcome];
            self.link.command(lane::COMMAND, 0, &values);
        }
    }
}
