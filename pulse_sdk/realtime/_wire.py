"""What goes over the WebSocket: frames in, signals out."""

from __future__ import annotations

from pydantic import BaseModel, TypeAdapter, ValidationError

from pulse_sdk._call import Id
from pulse_sdk.contract.messaging import Frame, ReadyFrame, TypingSignal
from pulse_sdk.errors import InvalidInput, unreadable

_frames: TypeAdapter[Frame] = TypeAdapter(Frame)

_SWITCHING_PROTOCOLS = 101


def read_frame(data: str | bytes) -> BaseModel | None:
    """The frame, or None when it is of a kind that only newer clients know.

    Raises:
        UnreadableAnswer: It is no frame.
    """
    try:
        return _frames.validate_json(data)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "union_tag_invalid":
            return None
        raise unreadable(_SWITCHING_PROTOCOLS, {}, error, 1) from None


def read_ready(data: str | bytes) -> int:
    """The position in the first frame.

    Raises:
        UnreadableAnswer: It is another frame, or none.
    """
    try:
        return ReadyFrame.model_validate_json(data).position
    except ValidationError as error:
        raise unreadable(_SWITCHING_PROTOCOLS, {}, error, 1) from None


def typing_signal(conversation_id: Id) -> str:
    """The frame that says where the caller is writing.

    Raises:
        InvalidInput: It is no id.
    """
    try:
        signal = TypingSignal.model_validate({"data": {"conversation_id": conversation_id}})
    except ValidationError as error:
        raise InvalidInput.from_validation(error) from None
    return signal.model_dump_json()
