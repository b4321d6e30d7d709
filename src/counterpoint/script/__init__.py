"""Scripts as text: what they say of themselves, what is wrong with them, where saved ones are."""

from counterpoint.script.parse import Script as Script
