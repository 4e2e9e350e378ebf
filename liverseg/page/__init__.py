"""The Gradio side: what the page does for its visitors, and how it looks."""
