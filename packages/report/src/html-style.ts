/** The page's style sheet. Colours of series are told apart in light, dark and by the colour-blind (Okabe and Ito 2008). */
export const style = `
:root{--bg:#f6f7f9;--card:#fff;--ink:#16191d;--soft:#5b6470;--rule:#e3e6ea;--track:#edf0f3;--accent:#1f5fbf;
--good:#0b7a5c;--fair:#9a6700;--bad:#c0342b;--zgood:#0b7a5c0d;--zfair:#e6a2001a;--zbad:#c0342b1c;
--c0:#7a8594;--c1:#0072b2;--c2:#d55e00;--c3:#009e73;--c4:#a64d79;--c5:#b08900;
--c6:#5b4bb7;--c7:#2a8fa8;--c8:#7f4f24;--c9:#c2185b;--mark:#ffe1dc;--shadow:0 1px 2px #1018280a,0 1px 8px #1018280a}
@media (prefers-color-scheme:dark){:root{--bg:#0e1116;--card:#171b21;--ink:#e8ebef;--soft:#9aa5b1;--rule:#2a313a;--track:#232a32;--accent:#7db2ff;
--good:#4cc9a0;--fair:#e3b341;--bad:#ff8076;--zgood:#4cc9a00f;--zfair:#e3b34114;--zbad:#ff80761c;
--c0:#8a96a5;--c1:#4ba3e3;--c2:#f0883e;--c3:#2fbf8f;--c4:#d683b0;--c5:#d6b656;
--c6:#9d8ff0;--c7:#5cc4dc;--c8:#c08a5a;--c9:#f06292;--mark:#5a2320;--shadow:none}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-feature-settings:"tnum"}
main{max-width:68rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:clamp(1.6rem,4.5vw,2.3rem);line-height:1.15;letter-spacing:-.02em;margin:0 0 .5rem}
h2.chapter{font-size:1.45rem;letter-spacing:-.01em;margin:3.25rem 0 .25rem;scroll-margin-top:1rem;overflow-wrap:anywhere}
h3{font-size:1.05rem;margin:0 0 .25rem;overflow-wrap:anywhere}
h4{font-size:.95rem;margin:0;overflow-wrap:anywhere}
p{margin:0 0 .75rem}p:last-child{margin-bottom:0}
.page p,.lead,.note{color:var(--soft);max-width:46rem}
.note{font-size:.92rem;margin-bottom:1rem}
nav ul{display:flex;flex-wrap:wrap;gap:.5rem;list-style:none;margin:1.25rem 0 0;padding:0}
nav a{display:block;padding:.3rem .8rem;border:1px solid var(--rule);border-radius:99px;background:var(--card);color:var(--accent);text-decoration:none;font-size:.9rem}
nav a:hover,nav a:focus-visible{border-color:var(--accent)}
section{background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:1.4rem;margin:1.1rem 0;box-shadow:var(--shadow)}
section.figures{background:none;border:0;padding:0;box-shadow:none}
.figures dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.9rem;margin:0}
.figures dl>div{background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:1rem 1.15rem;box-shadow:var(--shadow)}
.figures dt{color:var(--soft);font-size:.85rem}.figures dd{margin:0}
.figures dd b{display:block;font-size:1.75rem;line-height:1.25;letter-spacing:-.02em;font-weight:650}
.figures .good b{color:var(--good)}.figures .bad b{color:var(--bad)}
.figures dd span{color:var(--soft);font-size:.85rem}
.scroll{overflow-x:auto;margin:0 -1.4rem;padding:0 1.4rem}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.45rem .8rem .45rem 0;border-bottom:1px solid var(--rule);text-align:left;font-weight:400;vertical-align:baseline}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-size:.8rem;font-weight:600;white-space:nowrap}
tbody th{font-weight:550;overflow-wrap:anywhere;min-width:8rem}
tbody tr:last-child>*{border-bottom:0}
.r{text-align:right;white-space:nowrap}
svg{display:block;width:100%;overflow:visible}
.bar{height:.8rem;border-radius:4px;overflow:hidden}
.track{fill:var(--track)}
.group+.group{margin-top:1.25rem}.group h4{margin-bottom:.35rem}
.group ul,.ranked,.legend,.notes,.reasons,.diagnostics{list-style:none;margin:0;padding:0}
.group li{display:grid;grid-template-columns:8.5rem 1fr 11.5rem;gap:.8rem;align-items:center;padding:.14rem 0;font-size:.9rem}
.group .name{color:var(--soft);overflow-wrap:anywhere}.group .value{font-weight:600;white-space:nowrap}.group small{font-weight:400;color:var(--soft);font-size:.85rem}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}
.c6{--c:var(--c6)}.c7{--c:var(--c7)}.c8{--c:var(--c8)}.c9{--c:var(--c9)}
.group .fill{fill:var(--c)}
.legend{display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;font-size:.85rem;color:var(--soft);margin-bottom:.6rem}
.legend i{display:inline-block;width:.75rem;height:.75rem;border-radius:3px;background:var(--c);margin-right:.4rem;vertical-align:-.05rem}
.plot{display:grid;grid-template-columns:3.2rem 1fr;margin:.4rem 0 1rem}.plot.bare{grid-template-columns:1fr}.plot>*{min-width:0}
.plot .area{height:13rem;grid-row:1;grid-column:-2/-1;min-width:0}.scale{grid-row:1;grid-column:1}.plot svg{height:100%}
.scale{position:relative;font-size:.78rem;color:var(--soft)}
.scale span{position:absolute;right:.6rem;transform:translateY(-50%);white-space:nowrap}
.axis{grid-column:-2/-1;display:flex;justify-content:space-between;font-size:.78rem;color:var(--soft);padding-top:.35rem}
.rule{stroke:var(--rule);stroke-width:1}.jump{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:4 4}
.line{fill:none;stroke:var(--c0);stroke-width:1.25;stroke-linejoin:round;opacity:.65}
.dots{fill:none;stroke-width:6.5;stroke-linecap:round}
.plot path{vector-effect:non-scaling-stroke}
.dots.good{stroke:var(--good)}.dots.fair{stroke:var(--fair)}.dots.bad{stroke:var(--bad)}
.zone.good{fill:var(--zgood)}.zone.fair{fill:var(--zfair)}.zone.bad{fill:var(--zbad)}
path.area{fill:var(--c);fill-opacity:.32;stroke:var(--c);stroke-width:1.5;stroke-linejoin:round}
.callout{border-left:3px solid var(--bad);padding:.15rem 0 .15rem .8rem;font-size:.92rem;overflow-wrap:anywhere}
.ranked li{display:grid;grid-template-columns:minmax(9rem,18rem) 1fr 13.5rem;gap:.8rem;align-items:center;padding:.28rem 0;font-size:.88rem}
.ranked li+li{border-top:1px solid var(--rule)}
.ranked .name{min-width:0}.ends{display:flex;white-space:pre}.ends span:first-child{overflow:hidden;text-overflow:ellipsis;min-width:0}.ends span+span{flex:none}
.ranked small{display:block;color:var(--soft);font-size:.8rem;font-weight:400}
.ranked .value{font-weight:600}
.ranked .good{--c:var(--good)}.ranked .fair{--c:var(--fair)}.ranked .bad{--c:var(--bad)}
.ranked .fill{fill:var(--c)}.ranked .bad .value{color:var(--bad)}
.more,.notes{color:var(--soft);font-size:.85rem;margin-top:.7rem}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1rem}
figure{margin:0;border:1px solid var(--rule);border-radius:10px;overflow:hidden;display:flex;flex-direction:column}
figure.differs{border-color:var(--bad)}
figure img{display:block;width:100%;max-height:16rem;object-fit:contain;background:#fff;padding:.5rem}
figcaption{padding:.65rem .85rem .8rem;border-top:1px solid var(--rule);font-size:.86rem;flex:1}
figcaption p{color:var(--soft);margin-bottom:.45rem}
figcaption dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem .8rem;margin:0;align-items:baseline}
figcaption dt{color:var(--soft)}figcaption dd{margin:0;min-width:0}
code{font:.94em ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
ins{background:var(--mark);text-decoration:underline;text-decoration-thickness:2px;color:var(--bad);border-radius:3px;padding:0 1px}
del{color:var(--bad);opacity:.75;padding:0 1px}
.ok{color:var(--good);font-weight:700;margin-left:.5rem}
article{padding:1rem 0}article+article{border-top:1px solid var(--rule)}article:first-of-type{padding-top:.3rem}article:last-child{padding-bottom:0}
article header{display:flex;flex-wrap:wrap;gap:.1rem .8rem;align-items:baseline;margin-bottom:.5rem}
article header p{color:var(--soft);font-size:.85rem;margin:0;overflow-wrap:anywhere}
.meter{height:.55rem;border-radius:99px;overflow:hidden;margin-bottom:.45rem}.meter .fill{fill:var(--good)}
.count{font-size:.92rem;margin-bottom:.3rem}
.reasons li{font-size:.9rem;padding:.15rem 0}.names{display:block;color:var(--soft);font-size:.83rem;overflow-wrap:anywhere}
.diagnostics li{font-size:.88rem;color:var(--fair);padding:.15rem 0;overflow-wrap:anywhere}.diagnostics .error{color:var(--bad)}.diagnostics .info{color:var(--soft)}
details{margin-top:.5rem;font-size:.9rem}summary{cursor:pointer;color:var(--accent);padding:.2rem 0}
@media (max-width:640px){main{padding:1.5rem .9rem 3rem}section{padding:1.05rem}.scroll{margin:0 -1.05rem;padding:0 1.05rem}
.group li{grid-template-columns:1fr auto;gap:.1rem .6rem}.group .bar{grid-column:1/-1;grid-row:2}
.ranked li{grid-template-columns:1fr auto;gap:.2rem .6rem}.ranked .bar{grid-column:1/-1;grid-row:2;height:.5rem}.ranked .value{text-align:right}
.plot .area{height:10rem}.figures dl{grid-template-columns:repeat(2,1fr)}.figures dd b{font-size:1.35rem}.figures dl>div{padding:.8rem}}
@media print{body{background:#fff}section,figure{break-inside:avoid;box-shadow:none}nav{display:none}}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
`;
