"""What a message must be. One form serves the page's form and the websocket alike."""

from __future__ import annotations

import json

from django import forms

from dualws.demo.chat.models import Message


class BadFrame(ValueError):
    """What came over the websocket is not a message at all."""


class MessageForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Text of 1 to 1000 characters, and the key that makes sending it twice harmless."""

    class Meta:
        model = Message
        fields = ["text", "key"]
        widgets = {"key": forms.HiddenInput}
        error_messages = {
            "text": {
                "required": "There is nothing in this message. Write something first.",
                "max_length": "A message may have %(limit_value)d characters, this one has "
                "%(show_value)d. Make it shorter or send it in parts.",
            },
            "key": {"invalid": "The key of this message is not a UUID."},
        }

    @classmethod
    def from_frame(cls, frame: str | bytes) -> MessageForm:
        """The form for a websocket message: ``{"text": "…", "key": "…"}``.

        :raises BadFrame: *frame* is not such an object
        """
        try:
            data = json.loads(frame)
        except (ValueError, RecursionError) as error:
            raise BadFrame("A message must be valid JSON.") from error
        if not isinstance(data, dict) or not isinstance(data.get("text"), str):
            raise BadFrame('A message must be a JSON object with a string "text".')
        if not isinstance(data.get("key"), str):
            raise BadFrame('A message must have a string "key", a UUID of its own.')
        return cls({"text": data["text"], "key": data["key"]})

    def clean_text(self) -> str:
        """One kind of line end, and only what can be stored as UTF-8."""
        text: str = self.cleaned_data["text"]
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise forms.ValidationError("This message has half a character: a lone surrogate.")
        return text.replace("\r\n", "\n")

    @property
    def problem(self) -> str:
        """Everything that is wrong, as one text; empty when the form is valid."""
        return " ".join(str(error) for errors in self.errors.values() for error in errors)
