"""What every page has in common: sign-in, style, the way from one to the other. Run anew at every look."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import signin
from dashboard.parts import theme

PAGES = Path(__file__).parent  # a folder `pages` beside this file would be taken for Streamlit's older kind of pages


def main() -> None:
    """Show the page that the address names."""
    st.set_page_config(page_title="Rowrelay", page_icon=str(PAGES.parent / "icon.svg"), layout="centered")
    st.html(theme.style())
    run = st.Page(PAGES / "run.py", title="Run", icon=":material/play_arrow:", visibility="hidden")
    send = st.Page(PAGES / "send.py", title="Send", icon=":material/upload_file:", default=True)
    check = st.Page(PAGES / "check.py", title="Check", icon=":material/fact_check:", visibility="hidden")
    pages = [
        send,
        check,
        st.Page(PAGES / "runs.py", title="Runs", icon=":material/list:"),
        run,
        st.Page(PAGES / "schedules.py", title="Schedules", icon=":material/schedule:"),
        st.Page(PAGES / "status.py", title="Status", icon=":material/monitor_heart:"),
    ]
    if trouble := signin.trouble():
        st.html(theme.empty("Rowrelay", trouble))
        return
    if signin.required() and not st.user.is_logged_in:
        st.navigation([st.Page(_sign_in, title="Sign in")], position="hidden").run()
        return
    st.logo(str(PAGES.parent / "logo.svg"), size="medium", link=None)
    page = st.navigation(pages, position="top")
    if page == send and (checked := st.query_params.get("run")):  # where checks were until 0.1
        st.switch_page(check, query_params={"run": checked})
    if page in (check, run):
        st.html(theme.marked("" if page == check else "runs"))
    page.run()


def _sign_in() -> None:
    st.html(theme.empty("Rowrelay", "Sign in to send files and see what became of them."))
    st.button("Sign in", type="primary", on_click=st.login)


main()
