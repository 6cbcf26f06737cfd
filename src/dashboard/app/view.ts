/** Preact and its signals. This file is the only one that imports them. */
export { type ComponentChildren, type JSX, Fragment, h, render } from "preact";
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { type ReadonlySignal, type Signal, batch, computed, effect, signal } from "@preact/signals";
