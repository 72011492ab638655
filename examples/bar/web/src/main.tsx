import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.tsx";
import { keepApp } from "./keep.ts";
import { createSession } from "./session.ts";
import "./style/base.css";
import "./style/parts.css";
import "./style/panes.css";
import "./style/waiter.css";
import "./style/station.css";
import "./style/office.css";

keepApp();
const session = createSession();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App session={session} />
  </StrictMode>,
);
