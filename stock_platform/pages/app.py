"""The script that Streamlit runs for every reader: which pages there are.

`make up` serves it; alone: `python -m stock_platform.pages --port 8501`.
"""

import streamlit as st

from stock_platform.pages import accuracy, instrument, market, model
from stock_platform.pages.parts import page

st.set_page_config(page_title="Stock platform", layout="wide")
st.navigation(
    [
        st.Page(page(instrument.show), title="Instrument", url_path="instrument", default=True),
        st.Page(page(market.show), title="Market", url_path="market"),
        st.Page(page(accuracy.show), title="Accuracy", url_path="accuracy"),
        st.Page(page(model.show), title="Model", url_path="model"),
    ],
    position="top",
).run()
