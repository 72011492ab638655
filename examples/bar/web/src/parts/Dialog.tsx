import { useEffect, useId, useRef, type ReactElement, type ReactNode } from "react";
import { Icon } from "./Icon.tsx";

/** A modal dialog: focus stays in it and comes back, Escape closes it. */
export function Dialog({ title, close, children }: { readonly title: string; readonly close: () => void; readonly children: ReactNode }): ReactElement {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  return (
    <dialog ref={ref} className="dialog" aria-labelledby={id} onClose={close}>
      <header className="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" className="button quiet square" aria-label="Close" onClick={() => ref.current?.close()}>
          <Icon name="close" />
        </button>
      </header>
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}
